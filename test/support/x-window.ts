/**
 * Windows of a known colour at a known place in a desktop, and terminals to type into.
 */
import { Child, eventually, output } from './child.ts';
import type { Area } from './viewer.ts';

export interface WindowOptions {
  /** `#rrggbb`. */
  readonly colour: string;
  /** Of the whole window, without a manager's frame. */
  readonly area: Area;
}

/**
 * A borderless window that no window manager moves or frames, of exactly one colour. It is the
 * viewer of ImageMagick on a picture of that colour.
 */
export async function drawWindow(
  environment: NodeJS.ProcessEnv,
  { colour, area }: WindowOptions,
): Promise<Child> {
  const title = `colour-${process.pid}-${colour.slice(1)}-${area.x}-${area.y}`;
  const size = `${area.width}x${area.height}`;
  const place = `${size}+${area.x}+${area.y}`;
  const child = new Child(
    'display',
    [
      '-immutable',
      '-borderwidth',
      '0',
      '-title',
      title,
      '-geometry',
      place,
      '-size',
      size,
      `xc:${colour}`,
    ],
    { env: environment },
  );
  const id = await eventually('the coloured window', async () => {
    if (child.hasExited) throw new Error(`display: ${child.stderr}`);
    const found = await output(
      'sh',
      ['-c', 'xdotool search --onlyvisible --name "$1" || true', 'sh', title],
      {
        env: environment,
      },
    );
    return found.trim().split('\n').at(-1);
  });
  // With a window manager its frame moved the picture: it is put back where it was asked for.
  await output('xdotool', ['windowmove', '--sync', id, String(area.x), String(area.y)], {
    env: environment,
    timeoutMs: 3000,
  }).catch(() => undefined);
  return child;
}

/** An xterm that runs a shell, with the keyboard, for typing a command into a desktop. */
export function openTerminal(environment: NodeJS.ProcessEnv, geometry = '60x10+40+300'): Child {
  return new Child(
    'xterm',
    ['-geometry', geometry, '-bg', '#101010', '-fg', '#f0f0f0', '-e', '/bin/sh'],
    { env: environment },
  );
}
