import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Chooses the arm that answers a unit, from the weights of a control message.
 *
 * <p>The same choice as in every other language: weighted rendezvous hashing, pinned by {@code
 * serving/vectors.json}. Immutable, so any number of threads may use one. Java 11 or newer; copy the
 * file into a package of yours.
 */
public final class Assigner {
    /** An arm and the propensity to log with the answer. */
    public static final class Choice {
        public final String arm;
        public final double propensity;

        Choice(String arm, double propensity) {
            this.arm = arm;
            this.propensity = propensity;
        }
    }

    private static final long GOLDEN = 0x9E3779B97F4A7C15L;

    private final String salt;
    private final Choice[] choices;
    private final long[] factors;
    private final double[] steepness;

    /**
     * @param weights propensity by arm; they need not add up to 1
     * @param salt the route's, from the control message
     * @throws IllegalArgumentException if no arm has a positive weight
     */
    public Assigner(Map<String, Double> weights, String salt) {
        List<String> names = new ArrayList<>();
        List<Double> shares = new ArrayList<>();
        weights.forEach((name, weight) -> {
            if (weight > 0) {
                names.add(name);
                shares.add(weight);
            }
        });
        double total = sum(shares);
        if (!(total > 0)) {
            throw new IllegalArgumentException("no arm has a positive weight: " + weights);
        }
        // So that ties do not depend on the order of the map; by code points, as elsewhere.
        names.sort((one, other) -> Arrays.compareUnsigned(utf8(one), utf8(other)));
        this.salt = salt;
        choices = new Choice[names.size()];
        factors = new long[names.size()];
        steepness = new double[names.size()];
        for (int at = 0; at < choices.length; at++) {
            String name = names.get(at);
            double weight = weights.get(name);
            choices[at] = new Choice(name, weight / total);
            factors[at] = hash(salt, "a" + name) | 1;
            steepness[at] = -total / weight;
        }
    }

    /** Returns the arm for a unit: a request or user id. */
    public Choice assign(String unit) {
        if (choices.length == 1) {
            return choices[0];
        }
        long drawn = hash(salt, "u" + unit) ^ GOLDEN;
        double best = Double.POSITIVE_INFINITY;
        int chosen = 0;
        for (int at = 0; at < choices.length; at++) {
            long mixed = unsignedHigh(drawn, factors[at]) ^ (drawn * factors[at]);
            double score = steepness[at] * Math.log(fraction(mixed));
            if (score < best) {
                best = score;
                chosen = at;
            }
        }
        return choices[chosen];
    }

    /** Tells whether all arms are to answer a request, by shadow_share and salt of the message. */
    public static boolean inShadow(double share, String salt, String request) {
        return share > 0 && fraction(hash(salt, "s" + request)) < share;
    }

    private static long hash(String salt, String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(utf8(salt + "\0" + text));
            long first = 0;
            for (int at = 0; at < 8; at++) {
                first = first << 8 | digest[at] & 0xFF;
            }
            return first;
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static long unsignedHigh(long one, long other) {
        return Math.multiplyHigh(one, other) + (one >> 63 & other) + (other >> 63 & one);
    }

    /** Of an unsigned number, rounded once. */
    private static double fraction(long x) {
        double value = x >= 0 ? x : (double) (x >>> 1 | x & 1) * 2;
        return (value + 0.5) * 0x1p-64;
    }

    /** Exact but for one rounding, whatever the order (Shewchuk 1997). */
    private static double sum(List<Double> values) {
        double[] partials = new double[values.size() + 1];
        int count = 0;
        for (double value : values) {
            double x = value;
            int kept = 0;
            for (int at = 0; at < count; at++) {
                double y = partials[at];
                boolean isSmaller = Math.abs(x) < Math.abs(y);
                double large = isSmaller ? y : x;
                double small = isSmaller ? x : y;
                double high = large + small;
                double low = small - (high - large);
                if (low != 0) {
                    partials[kept++] = low;
                }
                x = high;
            }
            partials[kept++] = x;
            count = kept;
        }
        double total = 0;
        for (int at = count - 1; at >= 0; at--) {
            double before = total;
            total += partials[at];
            double rest = partials[at] - (total - before);
            if (rest != 0) {
                // Halfway cases: the next partial decides which way to round.
                double moved = total + 2 * rest;
                if (at > 0 && rest < 0 == partials[at - 1] < 0 && 2 * rest == moved - total) {
                    total = moved;
                }
                break;
            }
        }
        return total;
    }
}
