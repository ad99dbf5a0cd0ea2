/**
 * Answers of the local web door, with the headers that every one of them has. Runs in: user.
 */
import { STATUS_CODES } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * `host`: as the Host header has it. Nothing is loaded from anywhere else, nothing is inline, nobody
 * may frame the page, and nothing of it is left in a cache. data: is for noVNC, which hands JPEG
 * rectangles and cursors to the browser that way.
 */
export function securityHeaders(host: string): Readonly<Record<string, string>> {
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      `connect-src 'self' ws://${host}`,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  };
}

export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly more?: Readonly<Record<string, string>>;
}

export function sentence(status: number, text: string): Reply {
  return { status, contentType: 'text/plain; charset=utf-8', body: Buffer.from(`${text}\n`) };
}

export function json(value: unknown, more: Readonly<Record<string, string>> = {}): Reply {
  const body = Buffer.from(JSON.stringify(value));
  return { status: 200, contentType: 'application/json; charset=utf-8', body, more };
}

/** A refusal ends the connection: what else was sent on it is not looked at. */
export function send(response: ServerResponse, reply: Reply, host: string, isHead: boolean): void {
  const { status, contentType, body, more = {} } = reply;
  response.writeHead(status, {
    ...securityHeaders(host),
    ...more,
    ...(status >= 400 ? { Connection: 'close' } : {}),
    'Content-Type': contentType,
    'Content-Length': body.length,
  });
  response.end(isHead ? undefined : body);
}

/** For a socket that has left HTTP behind, or never spoke it. */
export function refuseSocket(socket: Duplex, status: number): void {
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`;
  socket.end(`${head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
