/** A datagram to a Unix socket, as sd_notify(3) sends it. Runs in: monitor, launcher. */
import { addon, checked } from './addon.native.ts';

/** `path` as in NOTIFY_SOCKET: absolute, or `@` and an abstract name. Never waits. */
export function sendToUnix(path: string, message: string): void {
  checked(`notify ${path}`, addon.sendToUnix(path, Buffer.from(message)));
}
