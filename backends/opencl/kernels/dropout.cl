/* dropout.cl: the same mask on every machine, from a counter and the element's place: Philox4x32-10 (Salmon et al.,
 * SC11). A work-item takes COUNTERS counters side by side, each good for 4 elements. */
#if TL_VECTORS
#define COUNTERS 16
typedef uint16 words;
typedef ulong16 long_words;
#define long_words_of convert_ulong16
#define words_of convert_uint16
#define BLOCKS (ulong16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#else
#define COUNTERS 1
typedef uint words;
typedef ulong long_words;
#define long_words_of (ulong)
#define words_of (uint)
#define BLOCKS 0ul
#endif

typedef union stream {
    words word[4];
    uint each[4][COUNTERS];
} stream;

/* `key`: counter[2] and the stream; `rest`: 1 - p; kept where the stream's number is not below `threshold`. */
kernel void dropout(ARG(float, x), ARG(int, counter), ARG(float, y), long count, int stream_number, int threshold,
                    float rest) {
    AT(x);
    AT(counter);
    AT(y);
    long first = (long)get_global_id(0) * 4 * COUNTERS;
    long_words block = (ulong)(first / 4) + BLOCKS;
    uint key0 = (uint)counter[2], key1 = (uint)stream_number;
    words c0 = words_of(block), c1 = words_of(block >> 32), c2 = (uint)counter[0], c3 = (uint)counter[1];
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        long_words a = long_words_of(c0) * 0xD2511F53ul, b = long_words_of(c2) * 0xCD9E8D57ul;
        c0 = words_of(b >> 32) ^ c1 ^ key0;
        c1 = words_of(b);
        c2 = words_of(a >> 32) ^ c3 ^ key1;
        c3 = words_of(a);
    }
    stream s;
    s.word[0] = c0;
    s.word[1] = c1;
    s.word[2] = c2;
    s.word[3] = c3;
    for (int i = 0; i < 4 * COUNTERS && first + i < count; i++)
        y[first + i] = s.each[i % 4][i / 4] >= (uint)threshold ? x[first + i] / rest : 0.0f;
}
