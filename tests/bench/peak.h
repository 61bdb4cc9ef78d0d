/* peak.h: what the machine's arithmetic can do, for comparison. */
#ifndef TL_TEST_BENCH_PEAK_H
#define TL_TEST_BENCH_PEAK_H

double bench_now(void); /* seconds */
/* From now on seconds that the calling thread was running, for measurements of one thread on a busy machine. */
void bench_use_thread_time(void);
void bench_use_process_time(void); /* the same over all threads */
/* GFLOP/s of multiply-adds in f32 on registers alone, on the calling thread, measured for some milliseconds; isa is
 * "avx512", "avx2" or another for what the compiler's baseline has. */
double bench_peak(const char *isa);

#endif
