package schemes

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	tongma "github.com/tongma/tongma"
)

// link sorts the directory, checks what its parts say of each other, and builds
// the tables that Resolve looks things up in.
func (p *parser) link(d *Directory) {
	p.linkParticipants(d)
	p.linkSchemes(d)
	p.linkRoles(d)
	for _, next := range []func(*Directory){p.linkSponsors, p.linkDealers, p.linkAgents, p.linkSettlement, p.linkFees, p.linkDefaults, p.linkAccounts, p.linkExchange, p.linkExchangeFees, p.linkDisputes} {
		if len(p.problems) == 0 { // each leans on what those before it found
			next(d)
		}
	}
	if len(p.problems) > 0 {
		return
	}
	slices.SortFunc(d.participants, byID)
	slices.SortFunc(d.schemes, func(a, b *Scheme) int { return cmp.Compare(a.ID, b.ID) })
	for i, s := range d.schemes {
		s.index = i
	}
	for _, v := range d.participants {
		v.accepts = make([]bool, len(d.schemes))
		for _, id := range v.Accepts {
			v.accepts[d.byScheme[id].index] = true
		}
		slices.Sort(v.Accepts)
		slices.Sort(v.AcquirerIDs)
	}
	d.linkReaders()
	p.linkRules(d)
}

// once fails if a name was given before, and remembers it.
func once[K comparable, V any](p *parser, table map[K]V, name K, value V, path, what string) {
	if _, twice := table[name]; twice {
		p.invalid(path, "%s was given before", what)
		return
	}
	table[name] = value
}

func (p *parser) linkParticipants(d *Directory) {
	d.byParticipant = make(map[tongma.ParticipantID]*Participant, len(d.participants))
	d.byAcquirerID = make(map[string]*Participant)
	d.byIssuerCode = make(map[string]*Participant)
	names, keys := make(map[string]bool), make(map[string]bool)
	for i, v := range d.participants {
		path := item("participants", i)
		once(p, d.byParticipant, v.ID, v, path+"/id", "this id")
		once(p, names, strings.ToLower(v.Name), true, path+"/name", "this name")
		for j, id := range v.AcquirerIDs {
			once(p, d.byAcquirerID, id, v, item(path[1:]+"/acquirer_ids", j), "this acquirer id")
		}
		if v.IssuerCode != "" {
			once(p, d.byIssuerCode, v.IssuerCode, v, path+"/issuer_code", "this code")
		}
		if v.Key != "" {
			once(p, keys, v.Key, true, path+"/key", "this key")
		}
		if len(v.AcquirerIDs) > 0 && !v.Acquirer {
			p.invalid(path+"/acquirer_ids", "are for acquirers only")
		}
	}
	if len(d.participants) == 0 {
		p.invalid("/participants", "is empty")
	}
}

func (p *parser) linkSchemes(d *Directory) {
	d.byScheme = make(map[tongma.SchemeID]*Scheme, len(d.schemes))
	names := make(map[string]bool)
	for i, s := range d.schemes {
		path := item("schemes", i)
		once(p, d.byScheme, s.ID, s, path+"/id", "this id")
		once(p, names, strings.ToLower(s.Name), true, path+"/name", "this name")
		if s.owner = d.byParticipant[s.Participant]; s.owner == nil {
			p.fail(path+"/participant", tongma.ParticipantUnknown, nearest(string(s.Participant), keysOf(d.byParticipant)), "there is no such participant")
		} else if s.owner.Service {
			p.invalid(path+"/participant", "must be an acquirer or an issuer")
		}
		if s.FeeParty == "" {
			s.FeeParty = s.Participant
		} else if d.byParticipant[s.FeeParty] == nil {
			p.fail(path+"/fee_party", tongma.ParticipantUnknown, nearest(string(s.FeeParty), keysOf(d.byParticipant)), "there is no such participant")
		}
		distinct(p, path+"/countries", s.Countries)
		distinct(p, path+"/reads", s.Reads)
		for j, c := range s.Claims {
			if c.meets(s.Claims[:j]) {
				p.invalid(item(path[1:]+"/claims", j), "claims codes that this scheme claims before")
			}
		}
		if twice(s.Currencies) >= 0 {
			p.invalid(item(path[1:]+"/currencies", twice(s.Currencies)), "stands twice")
		}
		for c := range sorted(s.MaxPayment) {
			if !s.Serves(c) {
				p.invalid(path+"/max_payment/"+c.Code(), "is no currency of this scheme")
			}
		}
		if !slices.Contains(s.Reads, string(s.ID)) {
			s.Reads = append([]string{string(s.ID)}, s.Reads...)
		}
	}
	if len(d.schemes) == 0 {
		p.invalid("/schemes", "is empty")
	}
}

func distinct[T comparable](p *parser, path string, words []T) {
	if i := twice(words); i >= 0 {
		p.invalid(item(path[1:], i), "stands twice")
	}
}

// linkRoles checks participants against the schemes that they run and accept,
// and finds the scheme that clears for each in the unified format.
func (p *parser) linkRoles(d *Directory) {
	runs := make(map[tongma.ParticipantID][]*Scheme)
	for _, s := range d.schemes {
		runs[s.Participant] = append(runs[s.Participant], s)
	}
	for i, v := range d.participants {
		path := item("participants", i)
		for j, id := range v.Accepts {
			if d.byScheme[id] == nil && len(p.problems) < maxProblems { // looking for what was meant takes time
				p.fail(item(path[1:]+"/accepts", j), tongma.FieldInvalid, nearest(string(id), keysOf(d.byScheme)), "there is no such scheme")
			}
		}
		if j := twice(v.Accepts); j >= 0 {
			p.invalid(item(path[1:]+"/accepts", j), "stands twice")
		}
		own := runs[v.ID]
		if v.Scheme == "" && len(own) == 1 {
			v.Scheme = own[0].ID
		}
		if v.Scheme != "" && !slices.ContainsFunc(own, func(s *Scheme) bool { return s.ID == v.Scheme }) {
			p.fail(path+"/scheme", tongma.FieldInvalid, "", "must be a scheme that this participant runs")
		}
		if v.IssuerCode != "" && v.Scheme == "" {
			p.fail(path+"/scheme", tongma.FieldMissing, "", "is missing: a participant with a code in the unified format says which of its schemes clears it")
		}
		p.capped(v, own, path)
	}
}

// capped fails if an issuer runs a scheme in a currency that it has no cap in:
// each of its payments would be refused for want of an account.
func (p *parser) capped(v *Participant, own []*Scheme, path string) {
	for _, s := range own {
		for _, c := range s.Currencies {
			if _, ok := v.Caps[c]; v.Issuer && !ok {
				p.fail(path+"/caps/"+c.Code(), tongma.FieldMissing, "", "is missing: scheme %s clears in %s and this participant owes for it", s.ID, c.Code())
			}
		}
	}
}

// linkReaders orders who reads which codes: by rank, then by id.
func (d *Directory) linkReaders() {
	d.readers = make(map[string][]*Scheme)
	ranked := slices.SortedFunc(slices.Values(d.schemes), byRank)
	for _, s := range ranked {
		for _, name := range s.Reads {
			d.readers[name] = append(d.readers[name], s)
		}
	}
}

func byID(a, b *Participant) int { return cmp.Compare(a.ID, b.ID) }

func byRank(a, b *Scheme) int {
	return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.ID, b.ID))
}

// twice returns the index of the first word that stood before, or -1.
func twice[T comparable](words []T) int {
	for i, w := range words {
		if slices.Contains(words[:i], w) {
			return i
		}
	}
	return -1
}

func keysOf[K ~string, V any](table map[K]V) []string {
	names := make([]string, 0, len(table))
	for k := range table {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return names
}

// sorted walks a table of amounts by currency number, so that problems come in
// one order.
func sorted(table map[tongma.Currency]int64) iter.Seq2[tongma.Currency, int64] {
	return func(yield func(tongma.Currency, int64) bool) {
		for _, c := range slices.Sorted(maps.Keys(table)) {
			if !yield(c, table[c]) {
				return
			}
		}
	}
}

func item(list string, i int) string { return "/" + list + "/" + strconv.Itoa(i) }
