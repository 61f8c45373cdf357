package peer;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Measures a peer and writes its result; has the settings of its login to the broker. */
final class Outcome {
    private Outcome() {}

    /** Returns the settings of a Kafka client that log in as the environment says. */
    static Map<String, String> login() {
        String password = System.getenv("STORE_UPTIME_KAFKA_SASL_PASSWORD");
        if (password == null || password.isEmpty()) {
            return Map.of();
        }
        return Map.of(
                "security.protocol", "SASL_PLAINTEXT",
                "sasl.mechanism", "PLAIN",
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\""
                        + System.getenv("STORE_UPTIME_KAFKA_SASL_USERNAME")
                        + "\" password=\"" + password + "\";");
    }

    /** Returns the CPU seconds of this process so far. */
    static double cpuSeconds() {
        return ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO).toMillis() / 1e3;
    }

    /** Returns the bytes that this process has written to the disk so far. */
    static long writtenBytes() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/io"))) {
            return lines.filter(line -> line.startsWith("write_bytes: "))
                    .mapToLong(line -> Long.parseLong(line.substring(13)))
                    .sum();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Writes the figures and the polls of the sampled stores as JSON. */
    static void write(Path output, double seconds, double cpu, long written, Map<String, List<Long>> sample)
            throws IOException {
        String stores = sample.entrySet().stream()
                .map(store -> '"' + store.getKey() + "\":" + store.getValue())
                .collect(Collectors.joining(","));
        Files.writeString(
                output,
                "{\"seconds\":" + seconds + ",\"cpu\":" + cpu + ",\"written_bytes\":" + written
                        + ",\"stores\":{" + stores + "}}");
    }
}
