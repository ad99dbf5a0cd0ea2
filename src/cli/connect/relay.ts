/**
 * Ties a local viewer's socket to a desktop's channel until either ends. Runs in: user.
 */
import type { Subsystem } from '../../ssh/client/session.ts';
import type { Socket } from 'node:net';

/** More than the handshake: what comes then is a picture. */
const handshakeBytes = 512;

export type RelayEnd =
  | { readonly by: 'viewer' }
  /** `status`: of the channel; null when none came. */
  | { readonly by: 'desktop'; readonly status: number | null };

/** What a server takes to say how it ended, after its last byte. */
const statusTimeoutMs = 5000;

/** Resolves when either has ended; says which of them was first. */
export function relay(
  viewer: Socket,
  channel: Subsystem,
  onPicture: () => void,
): Promise<RelayEnd> {
  return new Promise((resolve) => {
    let hasEnded = false;
    let patience: NodeJS.Timeout | undefined;
    const end = (how: RelayEnd): void => {
      if (hasEnded) return;
      hasEnded = true;
      clearTimeout(patience);
      viewer.destroySoon();
      channel.close();
      resolve(how);
    };
    const desktopEnds = (): void => {
      const late: RelayEnd = { by: 'desktop', status: null };
      patience ??= setTimeout(() => end(late), statusTimeoutMs);
    };
    let received = 0;
    channel.on('data', (chunk: Buffer) => {
      const before = received;
      received += chunk.length;
      if (before <= handshakeBytes && received > handshakeBytes) onPicture();
    });
    // A viewer that is killed resets its socket: that is its end, as any other.
    viewer.on('error', () => patience ?? end({ by: 'viewer' }));
    channel.on('error', desktopEnds);
    // The channel's end closes the viewer too: then its status is still to come.
    viewer.on('close', () => patience ?? end({ by: 'viewer' }));
    channel.on('end', desktopEnds);
    channel.on('close', (status: number | null | undefined) =>
      end({ by: 'desktop', status: status ?? null }),
    );
    viewer.setNoDelay(true);
    viewer.pipe(channel);
    channel.pipe(viewer);
  });
}
