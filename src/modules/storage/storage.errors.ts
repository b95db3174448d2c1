import { defineProblem } from '../../kernel/errors/problem.js';

export {
  repositoryFull,
  repositoryUnavailable,
  volumeFileExists as volumeExists,
  volumeInUse,
} from '../../agent-contract/index.js';

export const repositoryNotFound = defineProblem({
  code: 'storage_repository.not_found',
  status: 404,
  title: 'There is no such storage repository',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const repositoryExists = defineProblem({
  code: 'storage_repository.exists',
  status: 409,
  title: 'There is already a storage repository with this id or place',
  retry: 'never',
  remedies: ['delete', 'ask_otherwise'],
});
export const repositoryNameTaken = defineProblem({
  code: 'storage_repository.name_taken',
  status: 409,
  title: 'Another storage repository of the pool has this name',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});
export const repositoryBadState = defineProblem({
  code: 'storage_repository.bad_state',
  status: 409,
  title: 'The state of the storage repository does not allow it',
  retry: 'after_change',
  remedies: ['state_changes', 'delete'],
});
export const repositoryNotEmpty = defineProblem({
  code: 'storage_repository.not_empty',
  status: 409,
  title: 'The storage repository holds volumes, or files that domains boot from',
  retry: 'after_change',
  remedies: ['delete', 'update'],
});
export const volumeNotFound = defineProblem({
  code: 'volume.not_found',
  status: 404,
  title: 'There is no such volume',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const volumeMissing = defineProblem({
  code: 'volume.missing',
  status: 409,
  title: 'The bytes of the volume are gone from its storage repository',
  retry: 'after_change',
  remedies: ['put_back', 'update'],
});
export const volumeBadState = defineProblem({
  code: 'volume.bad_state',
  status: 409,
  title: 'The state of the volume does not allow it',
  retry: 'after_change',
  remedies: ['state_changes', 'put_back', 'delete'],
});
