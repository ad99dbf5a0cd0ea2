/**
 * The files that the local web door serves, each by its whole name: what is not in this table is not
 * served, so that no path of a request is ever joined to one of the disk. Runs in: user.
 */
import { readFile } from 'node:fs/promises';

export interface Asset {
  readonly url: URL;
  readonly contentType: string;
}

const script = 'text/javascript; charset=utf-8';

const ownFiles: readonly (readonly [path: string, file: string, contentType: string])[] = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/page.css', 'page.css', 'text/css; charset=utf-8'],
  ['/page.js', 'page.js', script],
  ['/clipboard.js', 'clipboard.js', script],
];

/** noVNC's modules, from core/rfb.js along its imports. */
const viewerFiles: readonly string[] = [
  'core/base64.js',
  'core/crypto/aes.js',
  'core/crypto/bigint.js',
  'core/crypto/crypto.js',
  'core/crypto/des.js',
  'core/crypto/dh.js',
  'core/crypto/md5.js',
  'core/crypto/rsa.js',
  'core/decoders/copyrect.js',
  'core/decoders/h264.js',
  'core/decoders/hextile.js',
  'core/decoders/jpeg.js',
  'core/decoders/raw.js',
  'core/decoders/rre.js',
  'core/decoders/tight.js',
  'core/decoders/tightpng.js',
  'core/decoders/zlib.js',
  'core/decoders/zrle.js',
  'core/deflator.js',
  'core/display.js',
  'core/encodings.js',
  'core/inflator.js',
  'core/input/domkeytable.js',
  'core/input/fixedkeys.js',
  'core/input/gesturehandler.js',
  'core/input/keyboard.js',
  'core/input/keysym.js',
  'core/input/keysymdef.js',
  'core/input/util.js',
  'core/input/vkeys.js',
  'core/input/xtscancodes.js',
  'core/ra2.js',
  'core/rfb.js',
  'core/util/browser.js',
  'core/util/cursor.js',
  'core/util/element.js',
  'core/util/events.js',
  'core/util/eventtarget.js',
  'core/util/int.js',
  'core/util/logging.js',
  'core/util/strings.js',
  'core/websock.js',
  'vendor/pako/lib/utils/common.js',
  'vendor/pako/lib/zlib/adler32.js',
  'vendor/pako/lib/zlib/crc32.js',
  'vendor/pako/lib/zlib/deflate.js',
  'vendor/pako/lib/zlib/inffast.js',
  'vendor/pako/lib/zlib/inflate.js',
  'vendor/pako/lib/zlib/inftrees.js',
  'vendor/pako/lib/zlib/messages.js',
  'vendor/pako/lib/zlib/trees.js',
  'vendor/pako/lib/zlib/zstream.js',
];

const viewerPrefix = '/novnc/';

/** By the path of the request, which must be equal to the last byte. */
export function assetTable(): ReadonlyMap<string, Asset> {
  const viewerRoot = new URL('../', import.meta.resolve('@novnc/novnc'));
  return new Map<string, Asset>([
    ...ownFiles.map(
      ([path, file, contentType]) =>
        [path, { url: new URL(`./page/${file}`, import.meta.url), contentType }] as const,
    ),
    ...viewerFiles.map(
      (file) =>
        [
          `${viewerPrefix}${file}`,
          { url: new URL(file, viewerRoot), contentType: script },
        ] as const,
    ),
  ]);
}

export function readAsset(asset: Asset): Promise<Buffer> {
  return readFile(asset.url);
}
