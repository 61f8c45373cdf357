// Polls in, a report out, through Kafka alone.
//
// Usage: java -cp "$(.venv/bin/store-uptime kafka jars)/*" examples/Report.java \
//     "$(.venv/bin/store-uptime kafka client-properties)" [STORE_ID]
//
// The first argument is a file that says where the broker is and how to log in to it.

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Report {
    static final List<String> FIGURES = List.of(
            "store_id", "uptime_last_hour", "uptime_last_day", "uptime_last_week",
            "downtime_last_hour", "downtime_last_day", "downtime_last_week");

    public static void main(String[] arguments) throws Exception {
        Properties broker = new Properties();
        try (var file = Files.newBufferedReader(Path.of(arguments[0]))) {
            broker.load(file);
        }
        String store = arguments.length > 1 ? arguments[1] : "97dd66d5-660c-48eb-8b5a-792c529ec4dd";
        // --8<-- [start:report]
        broker.put("acks", "all");
        var text = new StringSerializer();
        var read = new StringDeserializer();
        try (var producer = new KafkaProducer<>(broker, text, text);
                var consumer = new KafkaConsumer<>(broker, read, read)) {
            // results from here on: all partitions, no group
            List<TopicPartition> results = consumer.partitionsFor("report-results").stream()
                    .map(each -> new TopicPartition(each.topic(), each.partition())).toList();
            consumer.assign(results);
            consumer.seekToEnd(results);
            results.forEach(consumer::position);

            for (String[] poll : new String[][] {
                    {"14:00:00", "active"}, {"16:00:00", "inactive"}, {"17:30:00", "active"}}) {
                String value = String.format(
                        "{\"store_id\": \"%s\", \"status\": \"%s\", \"timestamp_utc\": \"2024-03-11T%sZ\"}",
                        store, poll[1], poll[0]);
                // acknowledged: every report that is asked for from now on has it
                producer.send(new ProducerRecord<>("store-status", store, value)).get();
            }
            String report = UUID.randomUUID().toString();
            String request = String.format(
                    "{\"report_id\": \"%s\", \"store_id\": \"%s\", \"reference_time\": \"2024-03-11T20:00:00Z\"}",
                    report, store);
            producer.send(new ProducerRecord<>("report-requests", store, request)).get();

            for (Instant end = Instant.now().plusSeconds(120); Instant.now().isBefore(end);) {
                for (ConsumerRecord<String, String> result : consumer.poll(Duration.ofMillis(200))) {
                    if (!report.equals(result.key())) {
                        continue;
                    }
                    switch (field(result.value(), "status")) {
                        case "complete" -> {
                            System.out.println(String.join(",", FIGURES));
                            System.out.println(String.join(",", FIGURES.stream()
                                    .map(name -> field(result.value(), name)).toList()));
                            return;
                        }
                        case "failed" -> throw new Exception(field(result.value(), "reason"));
                        default -> System.err.println("running");
                    }
                }
            }
            throw new Exception("no report within two minutes");
        }
        // --8<-- [end:report]
    }

    /** A text or a number of a JSON object; a program of yours has a JSON library. */
    static String field(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\"?([^\",}]*)").matcher(json);
        return found.find() ? found.group(1) : "";
    }
}
