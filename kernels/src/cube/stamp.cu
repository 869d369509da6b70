// The device's clock in nanoseconds, in the order of the launches of a stream.
// Claims: %globaltimer.
extern "C" __global__ void stamp(unsigned long long* at) {
    unsigned long long now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now) : : "memory");
    *at = now;
}
