/**
 * The shape of what engine.ts takes from inside the npm package ssh2, and the check at the start that
 * it still has it. Runs in: worker.
 */
import { ConfigError } from '../../base/errors.ts';
import {
  checkPackage,
  type Cipher,
  type Decipher,
  type DecipherAnswer,
  modules,
  pinnedVersion,
} from './ssh2-protocol.ts';

export interface Negotiated {
  kex: string;
  serverHostKey: string;
  cs: { cipher: string; mac: string; compress: string };
  sc: { cipher: string; mac: string; compress: string };
}

export interface EngineHostKey {
  readonly type: string;
  getPublicSSH(): Buffer;
  sign(hash: Buffer): Buffer | Error;
}

export interface KeyExchange {
  sessionID: Buffer | undefined;
  negotiated: Negotiated;
  _sentNEWKEYS: boolean;
  _receivedNEWKEYS: boolean;
  _kexinit: Buffer;
  _remoteKexinit: Buffer;
  _dhData: Buffer;
  _hostKey: EngineHostKey;
  type: string;
  finish(scOnly?: boolean): DecipherAnswer;
  parse(payload: Buffer): DecipherAnswer;
  computeSecret(clientValue: Buffer): Buffer | Error;
  convertPublicKey(value: Buffer): Buffer;
  getPublicKey(): Buffer;
}

export interface PacketWriter {
  allocStartKEX: number;
  alloc(payloadBytes: number, force: boolean): Buffer;
  finalize(packet: Buffer, force: boolean): Buffer;
}

export interface PacketReader {
  read(payload: Buffer): Buffer;
  _zlib?: { _maxOutputLength: number };
}

export interface ProtocolConfig {
  server: true;
  ident: string;
  hostKeys: Record<string, EngineHostKey>;
  offer: {
    kex: string[];
    serverHostKey: string[];
    cs: { cipher: string[]; mac: string[]; compress: string[]; lang: string[] };
    sc: { cipher: string[]; mac: string[]; compress: string[]; lang: string[] };
  };
  messageHandlers: Record<string, never>;
  onWrite(bytes: Buffer): void;
  onError(error: Error): void;
  onHeader(): void;
  onHandshakeComplete(negotiated: Negotiated): void;
}

export interface ProtocolShape {
  start(): void;
  parse(chunk: Buffer, from: number, to: number): void;
  rekey(): void;
  cleanup(): void;
  disconnect(reason: number): void;
  _destruct(reason?: string): void;
  _kex: KeyExchange | undefined;
  _kexinit: Buffer | undefined;
  _decipher: Decipher | undefined;
  _cipher: Cipher;
  _onPayload: (payload: Buffer) => DecipherAnswer;
  _packetRW: { read: PacketReader; write: PacketWriter };
  _offer: { lists: { kex: { array: string[] } } };
  _identRaw: Buffer;
  _remoteIdentRaw: Buffer;
  _strictMode: boolean | undefined;
  _authenticated: boolean;
}

export const Protocol = modules.Protocol as new (config: ProtocolConfig) => ProtocolShape;
export const handlers = modules.handlers as ((
  protocol: ProtocolShape,
  payload: Buffer,
) => DecipherAnswer)[];
export const zlib = modules.zlib as {
  ZlibPacketReader: new () => PacketReader;
  ZlibPacketWriter: new (protocol: ProtocolShape) => PacketWriter;
};

/**
 * Throws ConfigError unless the package is the pinned one, built with its native binding, and has
 * the shape that this file relies on. To be called once, before anything is served.
 */
export function checkEngineShape(): void {
  checkPackage();
  const probe: object = new Protocol({
    server: true,
    ident: 'probe',
    hostKeys: {},
    offer: {
      kex: ['curve25519-sha256'],
      serverHostKey: [],
      cs: { cipher: [], mac: [], compress: [], lang: [] },
      sc: { cipher: [], mac: [], compress: [], lang: [] },
    },
    messageHandlers: {},
    onWrite() {},
    onError() {},
    onHeader() {},
    onHandshakeComplete() {},
  });
  const missing = [
    ...['_kex', '_kexinit', '_decipher', '_cipher', '_onPayload', '_packetRW', '_offer'],
    ...['_identRaw', '_remoteIdentRaw', '_strictMode', '_authenticated', '_hostKeys'],
  ].filter((name) => !Object.hasOwn(probe, name));
  const shape = probe as ProtocolShape;
  const functions: Record<string, unknown> = {
    'handlers[20]': handlers[20],
    ZlibPacketReader: zlib.ZlibPacketReader,
    ZlibPacketWriter: zlib.ZlibPacketWriter,
    '_packetRW.write.alloc': shape._packetRW?.write?.alloc,
    '_packetRW.write.finalize': shape._packetRW?.write?.finalize,
    '_packetRW.read.read': shape._packetRW?.read?.read,
    '_cipher.encrypt': shape._cipher?.encrypt,
    _destruct: shape._destruct,
    parse: shape.parse,
    rekey: shape.rekey,
  };
  missing.push(...Object.keys(functions).filter((name) => typeof functions[name] !== 'function'));
  if (!Array.isArray(shape._offer?.lists?.kex?.array)) {
    missing.push('_offer.lists.kex.array');
  }
  if (missing.length > 0) {
    throw new ConfigError(
      `ssh2 ${pinnedVersion} has not the expected shape: ${missing.join(', ')}`,
    );
  }
}
