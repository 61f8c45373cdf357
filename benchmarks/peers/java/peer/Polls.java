package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.zip.CRC32;

/** A store's polls as a record has them: microseconds shifted by one, or'ed with 1 if active. */
record Polls(String store, long[] polls) {
    private static final JsonFactory JSON = new JsonFactory();
    private static final byte PACKED = (byte) 0xf8;
    private static final int PACKED_HEAD = 38;

    /** Returns true if a store is in the sample that is checked, as is_checked in job.py. */
    static boolean isChecked(String store, int every) {
        CRC32 checksum = new CRC32();
        checksum.update(store.getBytes(StandardCharsets.US_ASCII));
        return checksum.getValue() % every == 0;
    }

    /** Reads a record in either form of the topic: packed, as our producers send batches, or JSON. */
    static Polls read(byte[] value) {
        if (value[0] == PACKED) {
            long[] packed = new long[(value.length - PACKED_HEAD) / 8];
            ByteBuffer.wrap(value, PACKED_HEAD, 8 * packed.length)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .asLongBuffer()
                    .get(packed);
            return new Polls(new String(value, 2, PACKED_HEAD - 2, StandardCharsets.US_ASCII), packed);
        }
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
            return new Polls(store, new long[] {micros << 1 | (status.equals("active") ? 1 : 0)});
        }
        long[] sorted = Arrays.copyOf(polls, count);
        Arrays.sort(sorted);
        return new Polls(store, sorted);
    }

    /** Returns the end of the polls that are in the same span of time as the one at start. */
    static int endOfSpan(long[] polls, int start, long span) {
        long number = (polls[start] >> 1) / span;
        int end = start;
        while (end < polls.length && (polls[end] >> 1) / span == number) {
            end++;
        }
        return end;
    }

    static long[] union(long[] one, long[] other, int start, int end) {
        long[] all = Arrays.copyOf(one, one.length + end - start);
        System.arraycopy(other, start, all, one.length, end - start);
        if (one.length > 0 && one[one.length - 1] >> 1 >= other[start] >> 1) {
            Arrays.sort(all);
        }
        int size = 0;
        for (long poll : all) {
            // of two polls at the same time the inactive one sorts first, and stays
            if (size == 0 || all[size - 1] >> 1 != poll >> 1) {
                all[size++] = poll;
            }
        }
        return Arrays.copyOf(all, size);
    }

    static long[] longs(byte[] bytes) {
        if (bytes == null) {
            return new long[0];
        }
        long[] longs = new long[bytes.length / 8];
        ByteBuffer.wrap(bytes).asLongBuffer().get(longs);
        return longs;
    }

    static byte[] bytes(long[] longs) {
        ByteBuffer buffer = ByteBuffer.allocate(8 * longs.length);
        buffer.asLongBuffer().put(longs);
        return buffer.array();
    }
}
