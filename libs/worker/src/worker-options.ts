import type { Checkpoint } from '@ultramem/checkpoint';
import type { Clock, LoopDelay, Random } from '@ultramem/environment';
import type { Kernels } from '@ultramem/kernels';
import type { MessageOfKind } from '@ultramem/protocol';
import type { Transport } from '@ultramem/transport';
import type { JoinState } from './join.ts';
import type { ShardSlice } from './resident-shard.ts';

export interface WorkerOptions {
  transport: Transport;
  clock: Clock;
  random: Random;
  kernels: Kernels;
  /** Called when a device is lost (DEVICE_LOST), for kernels on another; without it the worker ends with that error. */
  reopenKernels?: () => Promise<Kernels>;
  checkpoint: Checkpoint;
  coordinatorUrl: string;
  /** Gives up when no coordinator was there for this long, at the start or after one was lost. */
  connectTimeoutMs: number;
  token: string | null;
  software: string;
  workerId: string;
  /** Drawn for this process. */
  instance: string;
  /** What slices may take here. */
  capacityBytes: number;
  /** Resident memory of the process now. */
  processBytes: () => number;
  /** How late the event loop of this process was; where nobody measures it, nothing is reported. */
  loopDelay?: () => LoopDelay | null;
  onEvent: (event: WorkerEvent) => void;
  /** A defect of this program: the caller should stop the process. */
  onDefect: (error: unknown) => void;
}

export type WorkerEvent =
  | { kind: 'state'; state: JoinState; reason: string }
  | { kind: 'loading'; loadedBytes: number; totalBytes: number }
  | { kind: 'ready'; shard: number; epoch: number; residentBytes: number };

export interface Worker {
  /** Resolves after `leave`; rejects when this worker can never join: refused for good, or no coordinator in time. */
  readonly done: Promise<void>;
  /** Says goodbye and ends. */
  leave(reason: string): Promise<void>;
  status(): WorkerStatus;
}

/** What every heartbeat tells the coordinator, and which slice is held. */
export type WorkerStatus = Omit<MessageOfKind<'pulse'>, 'id' | 'kind' | 'echo'> & {
  readonly shard: number | null;
  readonly slice: ShardSlice | null;
};
