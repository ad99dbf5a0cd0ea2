import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { checkEngineShape } from '../../../../../src/ssh/transport/ssh2-shape.ts';
import { modules, record as recordModule } from '../../../../../src/ssh/transport/ssh2-protocol.ts';

const load = createRequire(import.meta.url);

test('the installed ssh2 has the shape that the engine relies on', () => {
  checkEngineShape();
});

test('another version, a missing binding and a missing name are refused by name', () => {
  const manifest = load('ssh2/package.json') as { version: string };
  const record = recordModule as { bindingAvailable: boolean };
  const handlers = modules.handlers as unknown[];
  const with_ = (change: () => void, undo: () => void, expected: RegExp) => {
    change();
    try {
      assert.throws(checkEngineShape, expected);
    } finally {
      undo();
    }
  };
  const { version } = manifest;
  with_(
    () => {
      manifest.version = '1.18.0';
    },
    () => {
      manifest.version = version;
    },
    /ssh2 1\.18\.0 is installed, 1\.17\.0 is needed/,
  );
  with_(
    () => {
      record.bindingAvailable = false;
    },
    () => {
      record.bindingAvailable = true;
    },
    /native binding/,
  );
  const handler = handlers[20];
  with_(
    () => {
      handlers[20] = undefined;
    },
    () => {
      handlers[20] = handler;
    },
    /handlers\[20\]/,
  );
  checkEngineShape();
});

test('the binding was built with our object-wrap.h, so that collecting its objects cannot abort', () => {
  const path = load.resolve('ssh2/lib/protocol/crypto/build/Release/sshcrypto.node');
  assert.ok(!readFileSync(path).includes('RemoveEnvironmentCleanupHook'));
});
