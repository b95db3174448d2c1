export {
  type AptSource,
  type DownloadedPackage,
  PackageUnavailable,
  openAptSource,
  unpackDeb,
} from './apt-source.js';
export {
  type UnpackRequest,
  type UnpackedTree,
  renameUnlessThere,
  unpackDebianPackages,
} from './unpacked-tree.js';
export { inWorkFolder } from './work-folder.js';
