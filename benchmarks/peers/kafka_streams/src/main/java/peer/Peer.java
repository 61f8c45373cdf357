package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/** Reads store-status, keeps each store's polls as a set in RocksDB with a changelog. See README.md. */
public final class Peer {
    private static final String POLLS = "polls";
    private static final long DAY = 24L * 3600 * 1_000_000;
    private static final JsonFactory JSON = new JsonFactory();

    private Peer() {}

    /** A store's polls as the record has them: microseconds shifted by one, or'ed with 1 if active. */
    private record Told(String store, long[] polls) {}

    private static Told read(byte[] value) {
        String store = null;
        String status = null;
        String time = null;
        long[] polls = new long[8];
        int count = 0;
        try (JsonParser parser = JSON.createParser(value)) {
            parser.nextToken();
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "store_id" -> store = parser.getText();
                    case "status" -> status = parser.getText();
                    case "timestamp_utc" -> time = parser.getText();
                    default -> {
                        while (parser.nextToken() == JsonToken.START_ARRAY) {
                            parser.nextToken();
                            long instant = parser.getLongValue();
                            parser.nextToken();
                            if (count == polls.length) {
                                polls = Arrays.copyOf(polls, 2 * count);
                            }
                            polls[count++] = instant << 1 | parser.getIntValue();
                            parser.nextToken();
                        }
                    }
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        if (time != null) {
            Instant instant = Instant.parse(time);
            long micros = instant.getEpochSecond() * 1_000_000 + instant.getNano() / 1000;
            return new Told(store, new long[] {micros << 1 | (status.equals("active") ? 1 : 0)});
        }
        long[] told = Arrays.copyOf(polls, count);
        Arrays.sort(told);
        return new Told(store, told);
    }

    private static long[] union(long[] one, long[] other, int start, int end) {
        long[] all = Arrays.copyOf(one, one.length + end - start);
        System.arraycopy(other, start, all, one.length, end - start);
        if (one.length > 0 && one[one.length - 1] >> 1 >= other[start] >> 1) {
            Arrays.sort(all);
        }
        int kept = 0;
        for (long poll : all) {
            // of two polls at one instant the inactive one sorts first, and stays
            if (kept == 0 || all[kept - 1] >> 1 != poll >> 1) {
                all[kept++] = poll;
            }
        }
        return Arrays.copyOf(all, kept);
    }

    private static long[] longs(byte[] bytes) {
        if (bytes == null) {
            return new long[0];
        }
        long[] longs = new long[bytes.length / 8];
        ByteBuffer.wrap(bytes).asLongBuffer().get(longs);
        return longs;
    }

    private static byte[] bytes(long[] longs) {
        ByteBuffer buffer = ByteBuffer.allocate(8 * longs.length);
        buffer.asLongBuffer().put(longs);
        return buffer.array();
    }

    private static final class Keep implements Processor<byte[], byte[], Void, Void> {
        private final long span;
        private final AtomicLong began;
        private final AtomicLong left;
        private final CountDownLatch done;
        private KeyValueStore<String, byte[]> state;

        Keep(long span, AtomicLong began, AtomicLong left, CountDownLatch done) {
            this.span = span;
            this.began = began;
            this.left = left;
            this.done = done;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            state = context.getStateStore(POLLS);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            began.compareAndSet(0, System.nanoTime());
            Told told = read(record.value());
            long[] polls = told.polls();
            int start = 0;
            while (start < polls.length) {
                long bucket = (polls[start] >> 1) / span;
                int end = start;
                while (end < polls.length && (polls[end] >> 1) / span == bucket) {
                    end++;
                }
                String key = told.store() + "/" + bucket;
                long[] there = longs(state.get(key));
                long[] merged = union(there, polls, start, end);
                if (!Arrays.equals(there, merged)) {
                    state.put(key, bytes(merged));
                }
                start = end;
            }
            if (left.decrementAndGet() == 0) {
                done.countDown();
            }
        }
    }

    /** BOOTSTRAP SHAPE RECORDS SAMPLE_EVERY APPLICATION FOLDER OUT GUARANTEE. */
    public static void main(String[] told) throws Exception {
        long span = told[1].equals("bulk") ? 7 * DAY : DAY;
        AtomicLong began = new AtomicLong();
        AtomicLong left = new AtomicLong(Long.parseLong(told[2]));
        CountDownLatch done = new CountDownLatch(1);
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told[0]);
        String password = System.getenv("STORE_UPTIME_KAFKA_SASL_PASSWORD");
        if (password != null && !password.isEmpty()) {
            settings.put("security.protocol", "SASL_PLAINTEXT");
            settings.put("sasl.mechanism", "PLAIN");
            settings.put(
                    "sasl.jaas.config",
                    "org.apache.kafka.common.security.plain.PlainLoginModule required username=\""
                            + System.getenv("STORE_UPTIME_KAFKA_SASL_USERNAME")
                            + "\" password=\"" + password + "\";");
        }
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, told[4]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, told[5]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, told[7]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("producer.linger.ms", 20);
        settings.put("producer.batch.size", 262_144);
        Topology topology = new Topology();
        topology.addSource("source", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), "store-status");
        topology.addProcessor("keep", () -> new Keep(span, began, left, done), "source");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(POLLS), Serdes.String(), Serdes.ByteArray())
                        .withCachingEnabled(),
                "keep");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.start();
        done.await();
        // the state as it is, before closing flushes the cache to the store and to the changelog
        Map<String, List<Long>> sample = sample(streams, Integer.parseInt(told[3]));
        streams.close(Duration.ofSeconds(60));
        double seconds = (System.nanoTime() - began.get()) / 1e9;
        double cpu = ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO).toMillis() / 1e3;
        streams.cleanUp();
        StringBuilder out = new StringBuilder("{\"seconds\":" + seconds + ",\"cpu\":" + cpu + ",\"stores\":{");
        sample.forEach((store, polls) -> out.append(out.charAt(out.length() - 1) == '{' ? "" : ",")
                .append('"').append(store).append("\":").append(polls));
        Files.writeString(Path.of(told[6]), out.append("}}").toString());
    }

    private static Map<String, List<Long>> sample(KafkaStreams streams, int every) {
        Map<String, List<Long>> found = new TreeMap<>();
        var store = streams.store(
                StoreQueryParameters.fromNameAndType(POLLS, QueryableStoreTypes.<String, byte[]>keyValueStore()));
        try (KeyValueIterator<String, byte[]> all = store.all()) {
            while (all.hasNext()) {
                var entry = all.next();
                String name = entry.key.substring(0, entry.key.indexOf('/'));
                CRC32 checksum = new CRC32();
                checksum.update(name.getBytes(StandardCharsets.US_ASCII));
                if (checksum.getValue() % every == 0) {
                    for (long poll : longs(entry.value)) {
                        found.computeIfAbsent(name, key -> new ArrayList<>()).add(poll);
                    }
                }
            }
        }
        return found;
    }
}
