// Instructions that CUDA C++ has no words for.

// `SIZE` bytes from global to shared memory, past the registers; zeros where not `inside`.
template <u32 SIZE> __device__ __forceinline__ void copy_async(void *to, const void *from, bool inside) {
    const u32 place = (u32)__cvta_generic_to_shared(to);
    const u32 read = inside ? SIZE : 0;
    if (SIZE == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(read) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(place), "l"(from), "n"(SIZE), "r"(read)
                     : "memory");
    }
}

// What was copied since the last call is a group.
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait until no more than `GROUPS` groups are on their way.
template <u32 GROUPS> __device__ __forceinline__ void wait_for_all_but() {
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
}

// d += A B of 16 x 32 signed and 32 x 8 bytes, signed where codes of the weight have no offset.
__device__ __forceinline__ void mma(int d[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8."
#if OFFSET
                 "u8"
#else
                 "s8"
#endif
                 ".s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
