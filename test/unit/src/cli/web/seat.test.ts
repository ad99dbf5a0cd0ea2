/** The token of a seat is good once and not for long; its cookie is for one path. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seat, cookieName } from '../../../../../src/cli/web/seat.ts';

const cookieOf = (seat: Seat): string => seat.setCookie.split(';')[0] as string;

test('a token has 256 bits, and no two are the same', () => {
  const tokens = new Set(Array.from({ length: 100 }, () => Seat.newToken()));
  assert.equal(tokens.size, 100);
  for (const token of tokens) assert.equal(Buffer.from(token, 'base64url').length, 32);
});

test('a token is good once', () => {
  const token = Seat.newToken();
  const seat = new Seat(token, 1000);
  assert.equal(seat.admit(''), 'wrong');
  assert.equal(seat.admit(`${token}x`), 'wrong');
  assert.equal(seat.admit(Seat.newToken()), 'wrong');
  assert.equal(seat.admit(token), 'admitted');
  assert.equal(seat.admit(token), 'used');
});

test('a token is good for its time', () => {
  let now = 0;
  const token = Seat.newToken();
  const seat = new Seat(token, 1000, () => now);
  now = 1001;
  assert.equal(seat.admit(token), 'late');
  assert.equal(seat.isHeldBy(cookieOf(seat)), false);
});

test('a cookie is good once its token is used, and only the whole of it', () => {
  const token = Seat.newToken();
  const seat = new Seat(token, 1000);
  const cookie = cookieOf(seat);
  assert.equal(seat.isHeldBy(cookie), false, 'before the token');
  seat.admit(token);
  assert.equal(seat.isHeldBy(cookie), true);
  assert.equal(seat.isHeldBy(`${cookieName}=stale; ${cookie}; theme=dark`), true);
  for (const wrong of [undefined, '', cookieName, `${cookieName}=`, cookie.slice(0, -1)]) {
    assert.equal(seat.isHeldBy(wrong), false, String(wrong));
  }
  assert.equal(seat.isHeldBy(`x${cookie}`), false);
  assert.equal(seat.isHeldBy(`${cookieName}=${token}`), false, 'the token is no cookie');
});

test('a cookie is kept from scripts, other sites, and other ports by a path that cannot be guessed', () => {
  const seat = new Seat(Seat.newToken(), 1000);
  assert.match(
    seat.setCookie,
    /^sshdesk=[\w-]{43}; Path=\/seat\/[\w-]{22}\/; HttpOnly; SameSite=Strict$/,
  );
  assert.notEqual(seat.path, new Seat(Seat.newToken(), 1000).path);
});
