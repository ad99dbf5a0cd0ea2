/**
 * Ties a local viewer's socket to a desktop's channel until either ends. Runs in: user.
 */
import type { Subsystem } from '../../ssh/client/session.ts';
import type { Socket } from 'node:net';

/** More than the handshake: what comes then is a picture. */
const handshakeBytes = 512;

/** Resolves when both are closed; says which of them ended first. */
export function relay(
  viewer: Socket,
  channel: Subsystem,
  onPicture: () => void,
): Promise<'viewer' | 'desktop'> {
  return new Promise((resolve) => {
    let ended: 'viewer' | 'desktop' | null = null;
    const end = (by: 'viewer' | 'desktop'): void => {
      if (ended !== null) return;
      ended = by;
      viewer.destroySoon();
      channel.close();
      resolve(by);
    };
    let received = 0;
    channel.on('data', (chunk: Buffer) => {
      const before = received;
      received += chunk.length;
      if (before <= handshakeBytes && received > handshakeBytes) onPicture();
    });
    // A viewer that is killed resets its socket: that is its end, as any other.
    viewer.on('error', () => end('viewer'));
    channel.on('error', () => end('desktop'));
    viewer.on('close', () => end('viewer'));
    channel.on('end', () => end('desktop'));
    channel.on('close', () => end('desktop'));
    viewer.setNoDelay(true);
    viewer.pipe(channel);
    channel.pipe(viewer);
  });
}
