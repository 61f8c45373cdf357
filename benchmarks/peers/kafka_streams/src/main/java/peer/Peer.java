package peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
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

    private Peer() {}

    private static final class PollMerger implements Processor<byte[], byte[], Void, Void> {
        private final long span;
        private final AtomicLong started;
        private final AtomicLong written;
        private final AtomicLong left;
        private final CountDownLatch done;
        private KeyValueStore<String, byte[]> state;

        PollMerger(long span, AtomicLong started, AtomicLong written, AtomicLong left, CountDownLatch done) {
            this.span = span;
            this.started = started;
            this.written = written;
            this.left = left;
            this.done = done;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            state = context.getStateStore(POLLS);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            if (started.get() == 0) {
                started.set(System.nanoTime());
                // not from the start, when the JVM unpacks its native libraries
                written.set(Outcome.writtenBytes());
            }
            Polls batch = Polls.read(record.value());
            long[] polls = batch.polls();
            int start = 0;
            while (start < polls.length) {
                long bucket = (polls[start] >> 1) / span;
                int end = Polls.endOfSpan(polls, start, span);
                String key = batch.store() + "/" + bucket;
                long[] stored = Polls.longs(state.get(key));
                long[] merged = Polls.union(stored, polls, start, end);
                if (!Arrays.equals(stored, merged)) {
                    state.put(key, Polls.bytes(merged));
                }
                start = end;
            }
            if (left.decrementAndGet() == 0) {
                done.countDown();
            }
        }
    }

    /** BOOTSTRAP SHAPE RECORDS SAMPLE_EVERY APPLICATION FOLDER OUT GUARANTEE. */
    public static void main(String[] arguments) throws Exception {
        long span = arguments[1].equals("bulk") ? 7 * DAY : DAY;
        AtomicLong started = new AtomicLong();
        AtomicLong written = new AtomicLong();
        AtomicLong left = new AtomicLong(Long.parseLong(arguments[2]));
        CountDownLatch done = new CountDownLatch(1);
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.putAll(Outcome.login());
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[4]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[5]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[7]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("producer.linger.ms", 20);
        settings.put("producer.batch.size", 262_144);
        Topology topology = new Topology();
        topology.addSource("source", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), "store-status");
        topology.addProcessor("merge", () -> new PollMerger(span, started, written, left, done), "source");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(POLLS), Serdes.String(), Serdes.ByteArray())
                        .withCachingEnabled(),
                "merge");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.start();
        done.await();
        // the state with its cache, before `close` flushes it to the store and to the changelog
        Map<String, List<Long>> sample = sample(streams, Integer.parseInt(arguments[3]));
        streams.close(Duration.ofSeconds(60));
        double seconds = (System.nanoTime() - started.get()) / 1e9;
        double cpu = Outcome.cpuSeconds();
        long bytes = Outcome.writtenBytes() - written.get();
        streams.cleanUp();
        Outcome.write(Path.of(arguments[6]), seconds, cpu, bytes, sample);
    }

    private static Map<String, List<Long>> sample(KafkaStreams streams, int every) {
        Map<String, List<Long>> polls = new TreeMap<>();
        var store = streams.store(
                StoreQueryParameters.fromNameAndType(POLLS, QueryableStoreTypes.<String, byte[]>keyValueStore()));
        try (KeyValueIterator<String, byte[]> all = store.all()) {
            while (all.hasNext()) {
                var entry = all.next();
                String name = entry.key.substring(0, entry.key.indexOf('/'));
                if (Polls.isChecked(name, every)) {
                    for (long poll : Polls.longs(entry.value)) {
                        polls.computeIfAbsent(name, key -> new ArrayList<>()).add(poll);
                    }
                }
            }
        }
        return polls;
    }
}
