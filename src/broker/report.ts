/** Reads the line with which a display server says that it listens. Runs in: monitor. */
import { Socket } from 'node:net';

const maxReportBytes = 64;

export type ReportOutcome =
  | { readonly is: 'line'; readonly line: string }
  | { readonly is: 'closed' }
  | { readonly is: 'late' };

/** Owns the descriptor (the read end of a pipe). The writer may be hostile: one short line counts. */
export function readReport(
  descriptor: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ReportOutcome> {
  return new Promise((resolve) => {
    const pipe = new Socket({ fd: descriptor, readable: true, writable: false });
    let text = '';
    const done = (outcome: ReportOutcome): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      pipe.destroy();
      resolve(outcome);
    };
    const abort = (): void => done({ is: 'closed' });
    const timer = setTimeout(() => done({ is: 'late' }), timeoutMs);
    signal.addEventListener('abort', abort, { once: true });
    pipe.on('data', (bytes) => {
      text += bytes.toString('latin1');
      const end = text.indexOf('\n');
      if (end >= 0) {
        done({ is: 'line', line: text.slice(0, end).trim() });
      } else if (text.length > maxReportBytes) {
        done({ is: 'closed' });
      }
    });
    pipe.on('error', () => done({ is: 'closed' }));
    pipe.on('end', () => done({ is: 'closed' }));
    if (signal.aborted) {
      abort();
    }
  });
}
