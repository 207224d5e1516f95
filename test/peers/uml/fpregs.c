/*
 * Lets User Mode Linux 6.1 run on processors with large extended states (AMX): it writes back as many bytes of
 * floating point registers as it knows of, and newer kernels accept nothing but the whole state. Loaded by LD_PRELOAD.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

long ptrace(enum __ptrace_request request, ...)
{
	va_list list;
	va_start(list, request);
	pid_t pid = va_arg(list, pid_t);
	void *address = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);

	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
		static char state[65536];
		const struct iovec *given = data;
		struct iovec whole = { state, sizeof state };
		if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &whole) == 0 && whole.iov_len > given->iov_len) {
			memcpy(state, given->iov_base, given->iov_len);
			return syscall(SYS_ptrace, request, pid, address, &whole);
		}
	}
	/* The system call gives a word by its address, the function of the C library by its value. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long word;
		return syscall(SYS_ptrace, request, pid, address, &word) == 0 ? word : -1;
	}
	return syscall(SYS_ptrace, request, pid, address, data);
}
