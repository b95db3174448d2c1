/** Why the bytes of an image were refused. The only thing that the parsers of this room throw. */
export type ImageFault =
  | 'not_this_format'
  | 'truncated'
  | 'unsupported_version'
  | 'unsupported_feature'
  | 'backing_file'
  | 'external_data_file'
  | 'encrypted'
  | 'marked_corrupt'
  | 'size_out_of_range'
  | 'inconsistent';

export class ImageFormatError extends Error {
  constructor(
    readonly fault: ImageFault,
    message: string,
  ) {
    super(message);
    this.name = 'ImageFormatError';
  }
}
