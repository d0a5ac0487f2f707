import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Count and sum of the rewards of one arm on one route. */
record Totals(long count, double sum) {
    Totals plus(double reward) {
        return new Totals(count + 1, sum + reward);
    }

    byte[] toJson() {
        String json = "{\"count\":" + count + ",\"sum\":" + sum + "}";
        return json.getBytes(StandardCharsets.UTF_8);
    }

    /** 16 bytes in the store and its changelog. */
    static Serde<Totals> serde() {
        return Serdes.serdeFrom(
                (topic, totals) ->
                        totals == null
                                ? null
                                : ByteBuffer.allocate(16)
                                        .putLong(totals.count)
                                        .putDouble(totals.sum)
                                        .array(),
                (topic, bytes) -> {
                    if (bytes == null) {
                        return null;
                    }
                    ByteBuffer buffer = ByteBuffer.wrap(bytes);
                    return new Totals(buffer.getLong(), buffer.getDouble());
                });
    }
}
