import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;

/** Answers vectors: a line in, a line out; texts are hex of UTF-8. */
public final class Vectors {
    public static void main(String[] unused) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] fields = line.split("\t", -1);
            String salt = text(fields[1]);
            String unit = text(fields[2]);
            if (fields[0].equals("shadow")) {
                System.out.println(Assigner.inShadow(Double.parseDouble(fields[3]), salt, unit));
                continue;
            }
            Map<String, Double> weights = new HashMap<>();
            for (String one : fields[3].split(",")) {
                String[] pair = one.split("=", -1);
                weights.put(text(pair[0]), Double.parseDouble(pair[1]));
            }
            Assigner.Choice choice = new Assigner(weights, salt).assign(unit);
            byte[] arm = choice.arm.getBytes(StandardCharsets.UTF_8);
            System.out.println(HexFormat.of().formatHex(arm) + "\t" + choice.propensity);
        }
    }

    private static String text(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }
}
