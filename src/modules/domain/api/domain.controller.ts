import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import {
  CurrentCaller,
  IfMatch,
  Input,
  nothing,
  ObjectId,
  QueryInput,
} from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import {
  ListRoute,
  OperationRoute,
  type OperationQuery,
  operationQuery,
  PatchRoute,
  ReadRoute,
} from '../../../api/rest/routes.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Caller } from '../../../kernel/operations/caller.js';
import { type OperationView } from '../../../kernel/operations/operation-view.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
import { operationView } from '../../operation/index.js';
import { patchErrors } from '../domain.errors.js';
import { domainModel } from '../domain.queries.js';
import {
  type CreateDomainInput,
  createDomainInput,
  type PatchDomainInput,
  patchDomainInput,
  type ShutdownDomainInput,
  shutdownDomainInput,
} from '../domain.schema.js';
import { DomainService } from '../domain.service.js';
import {
  createDomain,
  deleteDomain,
  forceOffDomain,
  pauseDomain,
  rebootDomain,
  resumeDomain,
  shutdownDomain,
  startDomain,
} from '../operations/index.js';

const accepted = (operation: OperationView): Answer =>
  Answer.accepted(operation.id, JSON.stringify(operation));
const route = (summary: string) => ({ summary, output: operationView });

@ApiTags('domains')
@Controller('v1/domains')
export class DomainController {
  constructor(
    private readonly reader: Reader,
    private readonly domains: DomainService,
  ) {}

  @ListRoute(domainModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, domainModel, query);
  }

  @ReadRoute(domainModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, domainModel, id, query);
  }

  @OperationRoute('POST', '', createDomain, route('Create a domain, halted'))
  async create(
    @Input(createDomainInput) input: CreateDomainInput,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.create(input, caller, query));
  }

  @PatchRoute(domainModel, { summary: 'Change a domain', errors: patchErrors })
  async patch(
    @ObjectId() id: string,
    @Input(patchDomainInput) input: PatchDomainInput,
    @IfMatch() expected: ExpectedRevision,
  ): Promise<Answer> {
    await this.domains.patch(id, input, expected);
    return readOne(this.reader, domainModel, id);
  }

  @OperationRoute('DELETE', ':id', deleteDomain, route('Delete a halted domain; its volumes stay'))
  async delete(
    @ObjectId() domainId: string,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.begin(deleteDomain, { domainId, expected }, caller, query));
  }

  @OperationRoute(
    'POST',
    ':id/start',
    startDomain,
    route('Start a domain on the least loaded host that fits'),
  )
  async start(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.begin(startDomain, { domainId, expected }, caller, query));
  }

  @OperationRoute('POST', ':id/shutdown', shutdownDomain, route('Ask the guest to shut down'))
  async shutdown(
    @ObjectId() domainId: string,
    @Input(shutdownDomainInput) input: ShutdownDomainInput,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(
      await this.domains.begin(shutdownDomain, { ...input, domainId, expected }, caller, query),
    );
  }

  @OperationRoute(
    'POST',
    ':id/reboot',
    rebootDomain,
    route('Shut the guest down and start it again, on its host'),
  )
  async reboot(
    @ObjectId() domainId: string,
    @Input(shutdownDomainInput) input: ShutdownDomainInput,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.begin(rebootDomain, { ...input, domainId, expected }, caller, query));
  }

  @OperationRoute('POST', ':id/pause', pauseDomain, route("Stop the guest's CPUs"))
  async pause(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.begin(pauseDomain, { domainId, expected }, caller, query));
  }

  @OperationRoute('POST', ':id/resume', resumeDomain, route('Let a paused guest run on'))
  async resume(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.begin(resumeDomain, { domainId, expected }, caller, query));
  }

  @OperationRoute(
    'POST',
    ':id/force-off',
    forceOffDomain,
    route('End the guest at once, like pulling the plug'),
  )
  async forceOff(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @IfMatch() expected: ExpectedRevision,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return accepted(await this.domains.begin(forceOffDomain, { domainId, expected }, caller, query));
  }
}
