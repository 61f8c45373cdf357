package peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointType;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/** Reads store-status, keeps each store's polls as a set in RocksDB with checkpoints. See README.md. */
public final class Peer {
    private static final long DAY = 24L * 3600 * 1_000_000;

    // the tasks run in this process, and share these counts and samples
    private static final AtomicLong STARTED = new AtomicLong();
    private static final AtomicLong WRITTEN = new AtomicLong();
    private static final AtomicLong LEFT = new AtomicLong();
    private static final CountDownLatch DONE = new CountDownLatch(1);
    private static final Map<String, Map<Long, long[]>> SAMPLE = new ConcurrentHashMap<>();

    private Peer() {}

    /** A record as the store and its polls. */
    private static final class Parser implements DeserializationSchema<Tuple2<String, long[]>> {
        @Override
        public Tuple2<String, long[]> deserialize(byte[] value) {
            if (STARTED.get() == 0) {
                STARTED.set(System.nanoTime());
                // not from the start, when the JVM unpacks its native libraries
                WRITTEN.set(Outcome.writtenBytes());
            }
            Polls polls = Polls.read(value);
            return Tuple2.of(polls.store(), polls.polls());
        }

        @Override
        public boolean isEndOfStream(Tuple2<String, long[]> next) {
            return false;
        }

        @Override
        public TypeInformation<Tuple2<String, long[]>> getProducedType() {
            return Types.TUPLE(Types.STRING, PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO);
        }
    }

    private static final class PollMerger extends KeyedProcessFunction<String, Tuple2<String, long[]>, Long> {
        private final long span;
        private final int sampleEvery;
        private transient MapState<Long, long[]> state;

        PollMerger(long span, int sampleEvery) {
            this.span = span;
            this.sampleEvery = sampleEvery;
        }

        @Override
        public void open(OpenContext context) {
            state = getRuntimeContext().getMapState(new MapStateDescriptor<>(
                    "polls", Types.LONG, PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
        }

        @Override
        public void processElement(Tuple2<String, long[]> batch, Context context, Collector<Long> out) throws Exception {
            long[] polls = batch.f1;
            boolean sampled = Polls.isChecked(batch.f0, sampleEvery);
            int start = 0;
            while (start < polls.length) {
                long bucket = (polls[start] >> 1) / span;
                int end = Polls.endOfSpan(polls, start, span);
                long[] stored = state.get(bucket);
                long[] merged = Polls.union(stored == null ? new long[0] : stored, polls, start, end);
                if (stored == null || !Arrays.equals(stored, merged)) {
                    state.put(bucket, merged);
                    if (sampled) {
                        SAMPLE.computeIfAbsent(batch.f0, store -> new TreeMap<>()).put(bucket, merged);
                    }
                }
                start = end;
            }
            if (LEFT.decrementAndGet() == 0) {
                DONE.countDown();
            }
        }
    }

    /** BOOTSTRAP SHAPE RECORDS SAMPLE_EVERY APPLICATION FOLDER OUT. */
    public static void main(String[] arguments) throws Exception {
        LEFT.set(Long.parseLong(arguments[2]));
        Configuration configuration = new Configuration();
        configuration.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
        configuration.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
        configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, Path.of(arguments[5]).toUri().toString());
        configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofSeconds(5));
        configuration.set(CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE, CheckpointingMode.EXACTLY_ONCE);
        configuration.set(PipelineOptions.OBJECT_REUSE, true);
        configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(256));
        configuration.set(RestOptions.BIND_PORT, "0");
        configuration.set(RestOptions.BIND_ADDRESS, "127.0.0.1");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        environment.setParallelism(1);
        environment.setMaxParallelism(128);
        Properties login = new Properties();
        login.putAll(Outcome.login());
        DataStream<Tuple2<String, long[]>> records = environment.fromSource(
                KafkaSource.<Tuple2<String, long[]>>builder()
                        .setBootstrapServers(arguments[0])
                        .setProperties(login)
                        .setTopics("store-status")
                        .setGroupId(arguments[4])
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setValueOnlyDeserializer(new Parser())
                        .build(),
                WatermarkStrategy.noWatermarks(),
                "store-status");
        // one task: a record is not serialised between the source and the state
        DataStreamUtils.reinterpretAsKeyedStream(records, record -> record.f0, Types.STRING)
                .process(new PollMerger(arguments[1].equals("bulk") ? 7 * DAY : DAY, Integer.parseInt(arguments[3])))
                .returns(Types.LONG)
                .sinkTo(new DiscardingSink<>());
        JobGraph job = environment.getStreamGraph().getJobGraph();
        MiniCluster cluster = new MiniCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(1)
                .build());
        cluster.start();
        cluster.submitJob(job).get();
        DONE.await();
        // polls count as stored when a checkpoint has them
        cluster.triggerCheckpoint(job.getJobID(), CheckpointType.CONFIGURED).get();
        double seconds = (System.nanoTime() - STARTED.get()) / 1e9;
        double cpu = Outcome.cpuSeconds();
        long written = Outcome.writtenBytes() - WRITTEN.get();
        cluster.cancelJob(job.getJobID()).get();
        cluster.close();
        Map<String, List<Long>> sample = new TreeMap<>();
        SAMPLE.forEach((store, buckets) -> {
            List<Long> polls = sample.computeIfAbsent(store, name -> new ArrayList<>());
            buckets.values().forEach(bucket -> Arrays.stream(bucket).forEach(polls::add));
        });
        Outcome.write(Path.of(arguments[6]), seconds, cpu, written, sample);
        System.exit(0);
    }
}
