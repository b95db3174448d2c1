import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, nothing, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, OperationRoute, PatchRoute, ReadRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
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
  resetDomain,
  resumeDomain,
  shutdownDomain,
  startDomain,
} from '../operations/index.js';

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
  create(@Input(createDomainInput) input: CreateDomainInput, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.started(this.domains.create(input, terms), terms);
  }

  @PatchRoute(domainModel, { summary: 'Change a domain', errors: patchErrors })
  patch(
    @ObjectId() id: string,
    @Input(patchDomainInput) input: PatchDomainInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    const writing = this.domains.patch(id, input, terms);
    return Answer.written(writing, () => readOne(this.reader, domainModel, id));
  }

  @OperationRoute('DELETE', ':id', deleteDomain, route('Delete a halted domain; its volumes stay'))
  delete(@ObjectId() domainId: string, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.started(
      this.domains.begin(deleteDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute(
    'POST',
    ':id/start',
    startDomain,
    route('Start a domain on the least loaded host that fits'),
  )
  start(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(startDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute('POST', ':id/shutdown', shutdownDomain, route('Ask the guest to shut down'))
  shutdown(
    @ObjectId() domainId: string,
    @Input(shutdownDomainInput) input: ShutdownDomainInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(shutdownDomain, { ...input, domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute(
    'POST',
    ':id/reboot',
    rebootDomain,
    route('Shut the guest down and start it again, on its host'),
  )
  reboot(
    @ObjectId() domainId: string,
    @Input(shutdownDomainInput) input: ShutdownDomainInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(rebootDomain, { ...input, domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute('POST', ':id/pause', pauseDomain, route("Stop the guest's CPUs"))
  pause(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(pauseDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute('POST', ':id/resume', resumeDomain, route('Let a paused guest run on'))
  resume(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(resumeDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute('POST', ':id/reset', resetDomain, route("Press the guest's reset button"))
  reset(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(resetDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @OperationRoute(
    'POST',
    ':id/force-off',
    forceOffDomain,
    route('End the guest at once, like pulling the plug'),
  )
  forceOff(
    @ObjectId() domainId: string,
    @Input(nothing) _: object,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(
      this.domains.begin(forceOffDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }
}
