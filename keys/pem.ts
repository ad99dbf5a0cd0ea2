/**
 * PEM (RFC 7468) as openssl writes it: blocks of one label, and between them whatever people write.
 * A block that is broken spoils the file: what it may have said is not known. Runs in: monitor, user.
 */
import { ConfigError } from '../src/base/errors.ts';

export interface PemBlocks {
  readonly label: string;
  readonly maxBlocks: number;
}

const base64Lines = /^[A-Za-z0-9+/]+={0,2}$/;

function decode(lines: readonly string[], place: string): Buffer {
  const text = lines.map((line) => line.trim()).join('');
  const bytes = Buffer.from(text, 'base64');
  if (!base64Lines.test(text) || bytes.toString('base64') !== text) {
    throw new ConfigError(`${place}: not base64`);
  }
  return bytes;
}

/** In their order. Throws ConfigError with line and reason; blocks of other labels are passed over. */
export function readPem(content: Buffer, { label, maxBlocks }: PemBlocks): readonly Buffer[] {
  const found: Buffer[] = [];
  let open: { readonly label: string; readonly from: number; readonly lines: string[] } | undefined;
  for (const [index, line] of content.toString('latin1').split(/\r?\n/).entries()) {
    const [, edge, name = ''] = /^-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----[ \t]*$/.exec(line) ?? [];
    const place = `line ${index + 1}`;
    if (edge === 'BEGIN') {
      if (open !== undefined) {
        throw new ConfigError(`${place}: a block in the block of line ${open.from}`);
      }
      open = { label: name, from: index + 1, lines: [] };
    } else if (edge === 'END') {
      if (open?.label !== name) {
        throw new ConfigError(`${place}: the end of a block that was not begun`);
      }
      if (name === label) {
        if (found.length === maxBlocks) {
          throw new ConfigError(`${place}: more than ${maxBlocks} blocks`);
        }
        found.push(decode(open.lines, `the block of line ${open.from}`));
      }
      open = undefined;
    } else {
      open?.lines.push(line);
    }
  }
  if (open !== undefined) {
    throw new ConfigError(`the block of line ${open.from} does not end`);
  }
  return found;
}
