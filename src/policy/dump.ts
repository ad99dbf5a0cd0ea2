/**
 * `-T`: the keywords in effect as Debian's `sshd -T` prints those same keywords, in its order, lower
 * case. Runs in: launcher.
 */
import type { ServerConfig } from './config.ts';
import { serverKeywords } from './server-keywords.ts';

export function dumpConfig(config: ServerConfig): readonly string[] {
  return serverKeywords.flatMap((row) => row.dump(config));
}
