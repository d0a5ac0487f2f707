// Asks a gateway through OpenFeature for Java: lines of flag and targeting key, in hex, from standard input.

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.openfeature.contrib.providers.ofrep.OfrepProvider;
import dev.openfeature.contrib.providers.ofrep.OfrepProviderOptions;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

public final class Asking {
  private static String text(String digits) {
    byte[] raw = new byte[digits.length() / 2];
    for (int at = 0; at < raw.length; at++) {
      raw[at] = (byte) Integer.parseInt(digits.substring(2 * at, 2 * at + 2), 16);
    }
    return new String(raw, StandardCharsets.UTF_8);
  }

  public static void main(String[] words) throws Exception {
    var options = OfrepProviderOptions.builder().baseUrl(words[0]).build();
    var api = OpenFeatureAPI.getInstance();
    api.setProviderAndWait(OfrepProvider.constructProvider(options));
    var client = api.getClient();
    var json = new ObjectMapper();
    var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] parts = line.split("\t");
      var found = client.getStringDetails(text(parts[0]), "", new ImmutableContext(text(parts[1])));
      var metadata = found.getFlagMetadata();
      Object propensity = metadata.getDouble("propensity");
      if (propensity == null) {
        propensity = metadata.getInteger("propensity");
      }
      var code = found.getErrorCode() == null ? "" : found.getErrorCode().name();
      out.println(
          json.writeValueAsString(
              Arrays.asList(
                  found.getValue(), found.getReason(), propensity, metadata.getInteger("epoch"), code)));
    }
    api.shutdown();
  }
}
