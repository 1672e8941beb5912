/*
 * For a guest's kernel on a processor with AMX, by LD_PRELOAD.
 *
 * UML 6.1 keeps the registers of a process up to AVX-512's and PKRU (2,696 bytes). Where the processor has more, Linux takes
 * none of them unless it is given all (EFAULT, see xstateregs_set in arch/x86/kernel/fpu/regset.c), and the guest dies as
 * its first program begins. Here they are given the rest as it is: AMX's own, which no program in a guest may use.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
    static long (*next)(enum __ptrace_request, ...);
    static _Alignas(64) char whole[1 << 16];
    va_list rest;

    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!next)
        next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE)
        return next(request, pid, address, data);
    const struct iovec *part = data;
    struct iovec all = { whole, sizeof whole };
    if (next(PTRACE_GETREGSET, pid, address, &all) < 0)
        return -1;
    memcpy(whole, part->iov_base, part->iov_len < all.iov_len ? part->iov_len : all.iov_len);
    return next(PTRACE_SETREGSET, pid, address, &all);
}
