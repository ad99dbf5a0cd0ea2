/** What the local web door can serve is what its page needs, and nothing else. Runs in: test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { assetTable } from '../../../../../src/cli/web/assets.ts';
import { closeCodes } from '../../../../../src/cli/web/viewer-socket.ts';

const table = assetTable();
const text = (path: string): string => {
  const asset = table.get(path);
  assert.ok(asset !== undefined, `${path} is not served`);
  return readFileSync(fileURLToPath(asset.url), 'utf8');
};
const modules = /(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(/g;

test('every module that the page loads is in the table, and no other file', () => {
  const page = text('/');
  const wanted = ['/', ...[...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path)];
  const reached = new Set<string>();
  for (let path = wanted.pop(); path !== undefined; path = wanted.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    if (!path.endsWith('.js')) continue;
    for (const [statement, name] of text(path).matchAll(modules)) {
      assert.ok(name !== undefined, `${path}: ${statement} cannot be followed`);
      wanted.push(new URL(name, `http://host${path}`).pathname);
    }
  }
  assert.deepEqual([...reached].sort(), [...table.keys()].sort());
});

test('nothing is inline and nothing is loaded from elsewhere', () => {
  const page = text('/');
  assert.doesNotMatch(page, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:/i);
  for (const path of ['/', '/page.js', '/page.css', '/clipboard.js']) {
    assert.doesNotMatch(text(path), /https?:\/\//, path);
  }
});

test('the page knows the codes that it is closed with', () => {
  assert.match(text('/page.js'), new RegExp(`shownElsewhere = ${closeCodes.shownElsewhere};`));
  for (const code of Object.values(closeCodes)) assert.ok(code >= 4000 && code <= 4999);
});

test('every text field and dialog of the page has a name for those who hear it', () => {
  const page = text('/');
  for (const [, id] of page.matchAll(/<textarea id="([^"]+)"/g)) {
    assert.match(page, new RegExp(`<label for="${id}"`));
  }
  for (const [dialog] of page.matchAll(/<dialog [^>]*>/g)) assert.match(dialog, /aria-labelledby=/);
  assert.match(page, /<html lang="en">/);
  assert.match(page, /id="status" role="status"/);
});
