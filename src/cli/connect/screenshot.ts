/**
 * Takes one picture of a desktop and writes it as a PNG file. Runs in: user.
 */
import { rename, rm, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { cannotWrite } from './file-trouble.ts';
import type { Framebuffer } from './framebuffer.ts';
import { within } from './patience.ts';
import { encodePng } from './png.ts';
import { RfbClient } from './rfb-client.ts';

const frameTimeoutMs = 60 * 1000;

/** Resolves with the picture once every pixel has come and `waitMs` more have passed. */
export async function takePicture(stream: Duplex, waitMs: number): Promise<Framebuffer> {
  let client: RfbClient | undefined;
  const first = (async () => {
    client = await RfbClient.open(stream);
    await client.drawFull();
    return client;
  })();
  try {
    const opened = await within(frameTimeoutMs, first, 'the picture');
    if (waitMs > 0) await opened.follow(AbortSignal.timeout(waitMs));
    if (!opened.screen.isComplete) {
      await within(frameTimeoutMs, opened.drawFull(), 'the picture');
    }
    return opened.screen;
  } finally {
    client?.close();
  }
}

/** The file appears whole or not at all. */
export async function writePicture(path: string, picture: Framebuffer): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    await writeFile(temporary, encodePng(picture));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw cannotWrite(path, error);
  }
}
