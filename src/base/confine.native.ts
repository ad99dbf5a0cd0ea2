/** The fences that a process puts around itself. Runs in: monitor (not dumpable), worker (both). */
import { addon, checked } from './addon.native.ts';
import { NativeError } from './errors.ts';

/** No core, and no reading of /proc/PID by processes of the same uid. Undone by execve(2). */
export function setNotDumpable(): void {
  checked('prctl(PR_SET_DUMPABLE)', addon.setNotDumpable());
}

/** For a process that is to end with `parent`, which started it, whatever it is about to do then. */
export function endWithParent(parent: number): void {
  checked('prctl(PR_SET_PDEATHSIG)', addon.endWithParent(parent));
}

/**
 * For every thread, for good: no other program, process, socket, namespace or mount. It was seen to
 * refuse execveat(2) when this returns. EBUSY: the
 * process holds an io_uring, with which sockets are to be had past the filter (libuv makes one with
 * its loop unless the starter forbids it, as the zygote does). To be called when all code has been loaded.
 */
export function installSeccomp(): void {
  const result = checked('seccomp', addon.installSeccomp());
  if (result !== 0) {
    throw new NativeError('errno', result, `seccomp: thread ${result} could not be brought along`);
  }
}

/** What `ps` shows. */
export function setProcessTitle(title: string): void {
  process.title = title;
}
