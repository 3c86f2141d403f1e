import { startCluster, type TestCluster } from '@ultramem/testing';

await using cluster: TestCluster = await startCluster({ model: 'model', workers: 2, inProcess: true });
const request = { prompts: ['A'], maxTokens: 1 };
const tokenIds: number[] = (await cluster.generate(request)).sequences.flatMap(
  (sequence) => sequence.tokenIds,
);
// @ts-expect-error the declarations are seen, not `any`
export const notThere: string = tokenIds;
