import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.common.utils.Bytes;

/**
 * The peer of bench/peers: joins predictions with labels within an hour, writes a reward for each
 * pair and, from the rewards topic, count and sum for each arm of each route.
 *
 * <p>Arguments are name=value: predictions, labels, rewards, aggregates; everything else is a
 * setting of Kafka Streams.
 */
public final class Peer {
    private static final Serde<String> KEY = Serdes.String();
    private static final Serde<byte[]> VALUE = Serdes.ByteArray();

    public static void main(String[] arguments) {
        Map<String, String> topics = new HashMap<>();
        Properties settings = new Properties();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            if (parts[0].contains(".")) {
                settings.put(parts[0], parts[1]);
            } else {
                topics.put(parts[0], parts[1]);
            }
        }
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksSettings.class);
        KafkaStreams streams = new KafkaStreams(topology(topics, settings), settings);
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        streams.setStateListener(
                (now, before) -> {
                    System.out.println("state " + now);
                    if (now == KafkaStreams.State.ERROR) {
                        Runtime.getRuntime().halt(1);
                    }
                });
        Runtime.getRuntime()
                .addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
    }

    private static Topology topology(Map<String, String> topics, Properties settings) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> predictions =
                builder.stream(topics.get("predictions"), Consumed.with(KEY, VALUE));
        KStream<String, byte[]> labels =
                builder.stream(topics.get("labels"), Consumed.with(KEY, VALUE));
        predictions
                .join(
                        labels,
                        Join.Pair::new,
                        JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofHours(1)),
                        StreamJoined.with(KEY, VALUE, VALUE))
                .process(Join.ToReward::new)
                .to(topics.get("rewards"), Produced.with(KEY, VALUE));
        builder.stream(topics.get("rewards"), Consumed.with(KEY, VALUE))
                .groupByKey(Grouped.with(KEY, VALUE))
                .aggregate(
                        () -> new Totals(0, 0),
                        (arm, reward, totals) -> totals.plus(Join.rewardOf(reward)),
                        Materialized.<String, Totals, KeyValueStore<Bytes, byte[]>>as("totals")
                                .withKeySerde(KEY)
                                .withValueSerde(Totals.serde())
                                .withCachingEnabled())
                .toStream()
                .mapValues(Totals::toJson)
                .to(topics.get("aggregates"), Produced.with(KEY, VALUE));
        return builder.build(settings);
    }

    private Peer() {}
}
