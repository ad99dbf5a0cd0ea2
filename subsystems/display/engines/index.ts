/** The display engines, by the protocol that a client asks for. The first is the default. Pure. */
import type { EngineTable } from '../../../src/broker/engine.ts';
import { nxagent } from './nxagent/nxagent.ts';
import { xvnc } from './xvnc.ts';

export const defaultProtocol = xvnc.protocol;
export const displayEngines: EngineTable = { [xvnc.protocol]: xvnc, [nxagent.protocol]: nxagent };
