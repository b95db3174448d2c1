import {
  attachRepository,
  checkFiles,
  createVolume,
  deleteVolume,
  detachRepository,
  endExecutor,
  inspectVolume,
  listVolumes,
  repositoryRoom,
  type RepositoryRef,
  type VolumeRef,
} from '../../agent-contract/index.js';
import { type Backends } from '../../storage-backend/backends.js';
import { handle, type Handlers } from '../bound-call.js';
import { type VolumeUses } from '../volume-uses.js';
import { type VolumeWatches } from '../volume-watches.js';

type StorageCall =
  | 'attachRepository'
  | 'detachRepository'
  | 'endExecutor'
  | 'checkFiles'
  | 'createVolume'
  | 'deleteVolume'
  | 'inspectVolume'
  | 'listVolumes'
  | 'repositoryRoom';

export function storageHandlers(
  backends: Backends,
  uses: VolumeUses,
  watches: VolumeWatches,
): Pick<Handlers, StorageCall> {
  const ofVolume = {
    turn: ({ volume }: { volume: VolumeRef }) => `volume ${volume.id}`,
    repository: ({ volume }: { volume: VolumeRef }) => volume.repository.id,
  };
  const ofRepository = {
    turn: ({ repository }: { repository: RepositoryRef }) => `repository ${repository.id}`,
    repository: ({ repository }: { repository: RepositoryRef }) => repository.id,
  };
  return {
    attachRepository: handle(
      attachRepository,
      async ({ repository, create }) => {
        const room = await backends[repository.kind].attach(repository, { create });
        await watches.keep(repository);
        return room;
      },
      ofRepository,
    ),

    detachRepository: handle(
      detachRepository,
      async ({ repository }) => {
        await backends[repository.kind].detach(repository);
        return {};
      },
      ofRepository,
    ),

    endExecutor: handle(
      endExecutor,
      async (_input, { olderExecutorIsOver }) => {
        await olderExecutorIsOver();
        return {};
      },
      { repository: ({ repositoryId }) => repositoryId },
    ),

    repositoryRoom: handle(repositoryRoom, ({ repository }) => backends[repository.kind].room(repository)),

    checkFiles: handle(checkFiles, async ({ files }) => {
      const found = [];
      for (const { repository, path } of files) {
        const { sizeBytes } = await backends[repository.kind].resolveFile(repository, path);
        found.push({ sizeBytes });
      }
      return { files: found };
    }),

    createVolume: handle(
      createVolume,
      async ({ volume, sizeBytes }) => {
        const { allocatedBytes } = await backends[volume.repository.kind].createVolume(volume, sizeBytes);
        // The first volume makes the folder that is to be watched.
        await watches.keep(volume.repository);
        return { allocatedBytes };
      },
      ofVolume,
    ),

    deleteVolume: handle(
      deleteVolume,
      async ({ volume }) => {
        await uses.refuseIfUsed(volume.id);
        await backends[volume.repository.kind].deleteVolume(volume);
        return {};
      },
      ofVolume,
    ),

    inspectVolume: handle(inspectVolume, async ({ volume }) => ({
      found: await backends[volume.repository.kind].inspectVolume(volume),
    })),

    listVolumes: handle(listVolumes, async ({ repository }) => {
      // First the watch: what changes while the list is made is told of afterwards.
      await watches.keep(repository);
      return { volumes: await backends[repository.kind].listVolumes(repository) };
    }),
  };
}
