import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;

/** What a label says about a prediction: parsed once each, as a stream, without a tree. */
final class Join {
    private static final JsonFactory JSON = new JsonFactory();

    /** A pair; parsed only when both halves are there. */
    record Pair(byte[] prediction, byte[] label) {}

    /** Turns pairs into rewards, keyed by route and arm. */
    static final class ToReward extends ContextualProcessor<String, Pair, String, byte[]> {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream(256);

        @Override
        public void process(Record<String, Pair> pair) {
            try {
                Fields prediction = parse(pair.value().prediction());
                Fields label = parse(pair.value().label());
                double reward = prediction.answer.equals(label.answer) ? 1.0 : 0.0;
                out.reset();
                try (JsonGenerator json = JSON.createGenerator(out)) {
                    json.writeStartObject();
                    json.writeStringField("request_id", prediction.requestId);
                    json.writeStringField("route", prediction.route);
                    json.writeStringField("arm", prediction.arm);
                    json.writeNumberField("reward", reward);
                    json.writeNumberField("propensity", prediction.propensity);
                    json.writeNumberField("attributed_at_ms", pair.timestamp());
                    json.writeEndObject();
                }
                String group = prediction.route + "/" + prediction.arm;
                context().forward(pair.withKey(group).withValue(out.toByteArray()));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    /** The fields of a prediction or a label that count. */
    private static final class Fields {
        private String requestId = "";
        private String route = "";
        private String arm = "";
        private String answer = "";
        private double propensity;
    }

    private static Fields parse(byte[] value) throws IOException {
        Fields fields = new Fields();
        try (JsonParser json = JSON.createParser(value)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                json.nextToken();
                switch (name) {
                    case "request_id" -> fields.requestId = json.getText();
                    case "route" -> fields.route = json.getText();
                    case "arm" -> fields.arm = json.getText();
                    case "prediction", "label" -> fields.answer = json.getText();
                    case "propensity" -> fields.propensity = json.getDoubleValue();
                    default -> json.skipChildren();
                }
            }
        }
        return fields;
    }

    /** The reward of an encoded reward. */
    static double rewardOf(byte[] value) {
        try (JsonParser json = JSON.createParser(value)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                boolean wanted = json.currentName().equals("reward");
                json.nextToken();
                if (wanted) {
                    return json.getDoubleValue();
                }
                json.skipChildren();
            }
            return 0;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private Join() {}
}
