package schemes

import (
	"slices"
	"strings"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
)

// Query is the asker's side of the question: whose code is this?
type Query struct {
	Asker   tongma.ParticipantID // acquirer for OpPay, wallet for OpTransfer and OpResolve
	Op      tongma.Operation     // OpPay, OpTransfer or OpResolve
	Amount  tongma.Money         // zero if not known yet: then limits are checked against the code's own, if it has one
	Country string               // where the merchant is, ISO 3166-1 alpha-2; a country in the code goes before it
}

// Candidate is a scheme that the code may be paid through.
type Candidate struct {
	Scheme tongma.SchemeID
	// Participant is the other side of the payment: the debtor for a payer's code,
	// the creditor for a merchant's.
	Participant tongma.ParticipantID
	Rule, Path  string // what in the code named the scheme, in codespec's words
	Consult     bool   // others may claim the code too: ask the scheme whether it is its own
	OnUs        bool   // the other side is the asker itself: nothing to clear
	Unified     bool   // addressed by the unified format, to one participant by number
}

// Tried is a scheme that the code names and that cannot be used, and why.
type Tried struct {
	Scheme     string // the directory's id, or codespec's name if the directory has no such scheme
	Rule, Path string
	Reason     tongma.Reason
	Why        string // one clause for people, safe to log
}

// Resolution is the answer. Either it has candidates and Refusal is NoReason, or
// it has none and a Refusal.
type Resolution struct {
	Directory  uint64      // version that decided
	Candidates []Candidate // best first
	Tried      []Tried     // filled by Explain only
	Refusal    tongma.Reason
	Detail     string // one clause for people, safe to log; Resolve gives it for a refusal only
}

// refusals is how a code that names several schemes, all of them refused, is
// answered: by the refusal that stands last here. Each reason means that all
// checks before it passed, so the last is the most specific: it names the one
// thing in the way of the scheme that came furthest. What would still be wrong
// tomorrow stands before what may pass.
var refusals = [...]tongma.Reason{
	tongma.CodeMalformed,        // what it has of the unified format names nobody
	tongma.IssuerUnknown,        // no scheme of the directory reads it; a payer's unified code of a number that nobody has
	tongma.ParticipantUnknown,   // a merchant's unified template names an acquirer that nobody is
	tongma.OperationUnknown,     // the scheme's network does not have the role: no payers, or no merchants
	tongma.SchemeNotAccepted,    // the asker does not accept the scheme
	tongma.CountryMismatch,      // the scheme does not pay in the country
	tongma.CurrencyNotServed,    // the scheme does not clear in the currency, and no dealer exchanges it for its payers
	tongma.OverSchemeLimit,      // the amount is over the scheme's bound for one payment
	tongma.ParticipantSuspended, // the scheme's network, who would be debited, is suspended
}

// Refusals returns the reasons for which a named scheme is not used, from the
// least to the most specific. A Resolution carries the most specific one.
//
// Before any scheme is looked at, and in this order, come OperationUnknown (the
// query is not pay, transfer or resolve), ParticipantUnknown (no such asker),
// NotPermittedHere (the asker has not the role), ParticipantSuspended (the asker
// would be debited), CodeUnreadable, CodeNotPayable, CodeWrongSide,
// CurrencyUnknown and CurrencyMismatch (tag 53 against the amount).
func Refusals() []tongma.Reason { return slices.Clone(refusals[:]) }

func specificity(r tongma.Reason) int { return slices.Index(refusals[:], r) }

// Resolve says which schemes a code belongs to, seen from one asker. The code
// must have been decoded without an error. Resolve is pure: the same version,
// code and query give the same answer for ever.
//
// Candidates are ranked. For a merchant's code: the unified template first, since
// the merchant's own acquirer made it; then the asker's own scheme (OnUs); then
// the others. Within each, and for a payer's code: by the rank of the scheme,
// then in the order of the code's matches.
//
// Candidates with Consult are ambiguous: the code's form does not decide between
// them, as between Alipay in China and in Hong Kong. They are to be asked in
// order, and the first that says yes is taken.
//
// Resolve leaves Tried empty, because it runs for every payment and few read it.
// Explain fills it.
func (d *Directory) Resolve(code codespec.Code, q Query) Resolution {
	s := scan{d: d, code: &code, q: q}
	return s.run()
}

// Explain is Resolve with its reasons: for each scheme that the code names, why it
// is a candidate or why not.
func (d *Directory) Explain(code codespec.Code, q Query) Resolution {
	s := scan{d: d, code: &code, q: q, explain: true}
	r := s.run()
	r.Tried = s.tried
	if r.Refusal == tongma.NoReason {
		r.Detail = s.chosen(r.Candidates)
	}
	return r
}

// scan is one run of Resolve.
type scan struct {
	d       *Directory
	code    *codespec.Code
	q       Query
	explain bool

	asker    *Participant
	country  string          // where the merchant is, "" if not known
	currency tongma.Currency // what is paid in, zero if not known
	amount   tongma.Money    // what is paid, zero if not known
	list     []Candidate
	named    int // schemes of the directory that the code names
	tried    []Tried
	worst    attempt // most specific refusal so far
}

// attempt is one scheme that the code names, on its way through the checks.
type attempt struct {
	match  *codespec.Match
	scheme *Scheme      // nil if the directory has none of that name
	other  *Participant // who would be on the other side; nil if nobody is
	reason tongma.Reason
}

func (s *scan) run() Resolution {
	r := Resolution{Directory: s.d.version}
	if r.Refusal, r.Detail = s.precheck(); r.Refusal != tongma.NoReason {
		return r
	}
	for i := range s.code.Matches {
		s.match(&s.code.Matches[i])
	}
	if len(s.list) > 0 {
		s.rank()
		r.Candidates = s.list
		return r
	}
	if s.worst.match == nil {
		r.Refusal, r.Detail = tongma.IssuerUnknown, "the code names no scheme"
		return r
	}
	r.Refusal, r.Detail = s.worst.reason, s.why(s.worst)
	return r
}

// precheck judges the asker and the code before any scheme is looked at.
func (s *scan) precheck() (tongma.Reason, string) {
	if s.q.Op != tongma.OpPay && s.q.Op != tongma.OpTransfer && s.q.Op != tongma.OpResolve {
		return tongma.OperationUnknown, "codes are resolved to pay, transfer or resolve"
	}
	pays := s.q.Op == tongma.OpPay
	if s.asker = s.d.byParticipant[s.q.Asker]; s.asker == nil {
		return tongma.ParticipantUnknown, "the directory does not have the asker"
	}
	switch {
	case pays && !s.asker.Acquirer:
		return tongma.NotPermittedHere, "only an acquirer pays with a payer's code"
	case !pays && !s.asker.Issuer:
		return tongma.NotPermittedHere, "only an issuer reads and pays merchants' codes"
	case !pays && s.asker.Suspended:
		return tongma.ParticipantSuspended, "the asker, who would be debited, is suspended"
	case s.code.Format == codespec.FormatUnknown || s.code.Format == "":
		return tongma.CodeUnreadable, "no notation that the rules know"
	case s.code.Format == codespec.FormatNotPayable:
		return tongma.CodeNotPayable, "recognised, and not a payment code"
	case s.code.Format == codespec.FormatRide:
		return tongma.CodeNotPayable, "a ride code is for a gate"
	case pays && s.code.Presentation != codespec.Consumer:
		return tongma.CodeWrongSide, "a merchant's code; pay takes a payer's"
	case !pays && s.code.Presentation != codespec.Merchant:
		return tongma.CodeWrongSide, "a payer's code; " + s.q.Op.String() + " takes a merchant's"
	}
	return s.terms()
}

// terms finds country and currency: the code's own, tags 58 and 53, before the
// asker's.
func (s *scan) terms() (tongma.Reason, string) {
	s.country, s.currency, s.amount = s.q.Country, s.q.Amount.Currency, s.q.Amount
	if s.code.MPM == nil {
		return tongma.NoReason, ""
	}
	if country := s.code.MPM.Country(); country != "" {
		s.country = strings.ToUpper(country)
	}
	digits := s.code.MPM.Currency()
	if digits == "" {
		return tongma.NoReason, ""
	}
	c, ok := tongma.CurrencyByNumber(digits)
	if !ok { // the letters instead of the digits stand in Myanmar's codes
		c, ok = tongma.CurrencyByCode(digits)
	}
	switch {
	case !ok:
		return tongma.CurrencyUnknown, "tag 53 of the code"
	case s.currency != 0 && s.currency != c:
		return tongma.CurrencyMismatch, "the code is in " + c.Code() + ", the amount in " + s.currency.Code()
	}
	s.currency = c
	if s.amount.IsZero() {
		s.amount, _, _ = s.code.Amount() // one that cannot be read is for the engine to refuse, before money is asked for
	}
	return tongma.NoReason, ""
}

// match tries every scheme that one match of the code may mean.
func (s *scan) match(m *codespec.Match) {
	if m.Scheme == unifiedScheme {
		s.unified(m)
		return
	}
	readers := s.d.readers[m.Scheme]
	if len(readers) == 0 {
		s.refuse(attempt{match: m, reason: tongma.IssuerUnknown})
		return
	}
	for _, scheme := range readers {
		s.try(attempt{match: m, scheme: scheme, other: scheme.owner}, m.Consult || scheme.Consult || len(readers) > 1, false)
	}
}

// unified tries the one participant that a code of the unified format names.
func (s *scan) unified(m *codespec.Match) {
	number, ok := s.addressee()
	p := s.d.byIssuerCode[number]
	switch {
	case !ok:
		s.refuse(attempt{match: m, reason: tongma.CodeMalformed})
		return
	case p == nil && s.code.Presentation == codespec.Merchant:
		s.refuse(attempt{match: m, reason: tongma.ParticipantUnknown})
		return
	case p == nil:
		s.refuse(attempt{match: m, reason: tongma.IssuerUnknown})
		return
	}
	scheme := s.d.byScheme[p.Scheme]
	s.try(attempt{match: m, scheme: scheme, other: p}, scheme.Consult, true)
}

func (s *scan) try(a attempt, consult, unified bool) {
	for i := range s.list {
		if s.list[i].Scheme == a.scheme.ID {
			return
		}
	}
	s.named++
	if a.reason = s.check(a); a.reason != tongma.NoReason {
		s.refuse(a)
		return
	}
	if s.list == nil {
		s.list = make([]Candidate, 0, len(s.code.Matches))
	}
	s.list = append(s.list, Candidate{
		Scheme: a.scheme.ID, Participant: a.other.ID, Rule: a.match.Rule, Path: a.match.Path,
		Consult: consult, OnUs: a.other == s.asker, Unified: unified,
	})
}

// check returns why a scheme cannot be used, in the order of refusals.
func (s *scan) check(a attempt) tongma.Reason {
	pays := s.q.Op == tongma.OpPay
	switch {
	case pays && !a.other.Issuer, !pays && !a.other.Acquirer:
		return tongma.OperationUnknown
	case a.other != s.asker && !s.asker.AcceptsScheme(a.scheme):
		return tongma.SchemeNotAccepted
	case s.country != "" && !a.scheme.PaysIn(s.country):
		return tongma.CountryMismatch
	case s.currency != 0 && !a.scheme.Serves(s.currency) && (!pays || len(s.d.PayIn(a.scheme, s.currency)) == 0):
		return tongma.CurrencyNotServed
	}
	if limit, ok := a.scheme.MaxPayment[s.amount.Currency]; ok && s.amount.Minor > limit {
		return tongma.OverSchemeLimit
	}
	if pays && a.other.Suspended {
		return tongma.ParticipantSuspended
	}
	return tongma.NoReason
}

func (s *scan) refuse(a attempt) {
	if s.worst.match == nil || specificity(a.reason) > specificity(s.worst.reason) {
		s.worst = a
	}
	if !s.explain {
		return
	}
	t := Tried{Scheme: a.match.Scheme, Rule: a.match.Rule, Path: a.match.Path, Reason: a.reason, Why: s.why(a)}
	if a.scheme != nil {
		t.Scheme = string(a.scheme.ID)
	}
	s.tried = append(s.tried, t)
}

// rank orders the candidates. Digits that several schemes claim are ambiguous,
// even when only one of the schemes could be used.
func (s *scan) rank() {
	if s.code.Format == codespec.FormatPayCode && s.named > 1 {
		for i := range s.list {
			s.list[i].Consult = true
		}
	}
	if len(s.list) == 1 {
		return
	}
	merchant := s.code.Presentation == codespec.Merchant
	slices.SortStableFunc(s.list, func(a, b Candidate) int {
		if merchant && a.class() != b.class() {
			return a.class() - b.class()
		}
		return s.d.byScheme[a.Scheme].Rank - s.d.byScheme[b.Scheme].Rank
	})
}

// addressee returns the four digits by which a code of the unified format names a
// participant (codespec/SPEC.md 2 to 4), or false if they are not in their place.
func (s *scan) addressee() (number string, ok bool) {
	if s.code.MPM != nil {
		account, ok := s.code.UnifiedAccount()
		return account.Acquirer, ok
	}
	if s.code.PayCode == nil {
		return "", false
	}
	return s.code.PayCode.Issuer, s.code.PayCode.Unified()
}

// class is where a candidate of a merchant's code stands whatever its rank.
func (c *Candidate) class() int {
	switch {
	case c.Unified:
		return 0
	case c.OnUs:
		return 1
	}
	return 2
}
