/**
 * Looking at a desktop of the server under test: its picture as an RFB client sees it, our own
 * client, colours that no other run has. Runs in: test.
 */
import { randomInt } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { Child, eventually } from './child.ts';
import { checkout, type TestKey } from './lab.ts';
import { firstPicture, type Picture } from './rfb-client.ts';
import type { TestServer } from './server.ts';
import { type ClientOptions, spawnClient, sshArguments } from './stock-client.ts';
import { type Area, colour } from './viewer.ts';

/** `#rrggbb`, saturated: not one of a theme's greys. */
export function randomColour(): string {
  const channels = [randomInt(0, 64), randomInt(96, 160), randomInt(192, 256)];
  const turn = randomInt(0, 3);
  const turned = [...channels.slice(turn), ...channels.slice(0, turn)];
  return `#${turned.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

/** Every pixel of the area, in a picture of depth 24 as Xvnc sends it. */
export function isFilled(picture: Picture, area: Area, wanted: string): boolean {
  const { red, green, blue } = colour(wanted);
  if (area.x + area.width > picture.width || area.y + area.height > picture.height) {
    return false;
  }
  for (let y = area.y; y < area.y + area.height; y++) {
    for (let x = area.x; x < area.x + area.width; x++) {
      const at = (y * picture.width + x) * 4;
      const [b, g, r] = picture.pixels.subarray(at, at + 3);
      if (r !== red || g !== green || b !== blue) {
        return false;
      }
    }
  }
  return true;
}

/** One full picture through `ssh -s HOST rfb`; the connection is ended. */
export async function lookThrough(server: TestServer, options: ClientOptions): Promise<Picture> {
  const args = ['-s', ...(options.args ?? [])];
  const child = spawnClient('ssh', sshArguments(server, { ...options, args }, 'rfb'), options);
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 20_000);
  child.stdin.on('error', () => undefined);
  child.stderr.resume();
  try {
    return await firstPicture(child.stdout, child.stdin);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

/** Looks until the area has the colour: a window may be mapped and not painted yet. */
export async function lookForColour(
  server: TestServer,
  options: ClientOptions,
  area: Area,
  wanted: string,
): Promise<void> {
  await eventually(`${wanted} at ${area.x},${area.y}`, async () =>
    isFilled(await lookThrough(server, options), area, wanted),
  );
}

/** `./sshdesk connect`, as a person with this key would start it. */
export function connectClient(
  server: TestServer,
  options: {
    readonly user: string;
    readonly key: TestKey;
    readonly args?: readonly string[];
    readonly environment?: NodeJS.ProcessEnv;
  },
): Child {
  const runtime = mkdtempSync('/tmp/connect-');
  return new Child(
    path.join(checkout, 'sshdesk'),
    [
      ...['connect', '-F', 'none', '-i', options.key.file, '--batch'],
      ...['-o', `UserKnownHostsFile=${server.knownHosts}`, '-o', 'StrictHostKeyChecking=yes'],
      ...(options.args ?? []),
      `${options.user}@127.0.0.1:${server.port}`,
    ],
    { env: { ...(options.environment ?? process.env), XDG_RUNTIME_DIR: runtime } },
  );
}
