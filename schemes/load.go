package schemes

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/paycode"
	"go.yaml.in/yaml/v3"
)

// Bounds on a directory. They are far above any real one, and keep a mistaken or
// hostile file from eating the switch.
const (
	MaxSource       = 4 << 20 // bytes
	MaxParticipants = 5000
	MaxSchemes      = 1000
	maxCap          = 100_000_000_000_000_000 // minor units; sums of a few stay far from overflow
)

// Times that a scheme gets when it does not give its own.
const (
	DefaultAuthoriseTimeout = 8 * time.Second
	DefaultInquireEvery     = 3 * time.Second
	DefaultReverseEvery     = 5 * time.Second
	DefaultConfirmWithin    = 45 * time.Second
	DefaultCodeLifetime     = 60 * time.Second
	DefaultRank             = 100
)

// Parse reads one version of the directory. It refuses unknown and repeated
// keys, ids that are malformed or given twice, references to nobody, amounts and
// currencies that do not fit, and any key material: keys are named, never held.
// The error is a *ParseError that lists what is wrong, line by line.
func Parse(version uint64, source []byte) (*Directory, error) {
	p := &parser{at: make(map[string]*yaml.Node), added: codespec.RulesData{Version: "directory"}}
	d := &Directory{version: version, rules: codespec.DefaultRules(), hash: sha256.Sum256(source), source: append([]byte(nil), source...)}
	if version == 0 {
		p.invalid("", "versions count from 1")
	}
	if len(source) > MaxSource {
		p.fail("", tongma.MessageTooLong, "", "is longer than %d bytes", MaxSource)
	} else if line := secretLine(source); line > 0 {
		p.problems = append(p.problems, Problem{Line: line, Reason: tongma.FieldInvalid,
			Message: "holds a private key; a directory names keys and never holds them. Treat that key as disclosed"})
	}
	if len(p.problems) == 0 {
		if root := p.document(source); root != nil {
			p.directory(d, root)
		}
	}
	if len(p.problems) == 0 {
		p.link(d)
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &ParseError{Problems: p.problems}
	}
	return d, nil
}

func (p *parser) directory(d *Directory, root *yaml.Node) {
	p.mapping(root, "", []field{
		{"name", false, func(n *yaml.Node, path string) { d.name, _ = p.text(n, path, 64) }},
		{"rules", false, func(n *yaml.Node, path string) { p.rules(d, n, path) }},
		{"participants", true, func(n *yaml.Node, path string) {
			p.list(n, path, MaxParticipants, func(item *yaml.Node, at string) {
				d.participants = append(d.participants, p.participant(item, at))
			})
		}},
		{"schemes", true, func(n *yaml.Node, path string) {
			p.list(n, path, MaxSchemes, func(item *yaml.Node, at string) {
				d.schemes = append(d.schemes, p.scheme(item, at))
			})
		}},
		{"switch_party", false, func(n *yaml.Node, path string) { d.switchParty = p.participantID(n, path) }},
		{"fees", false, func(n *yaml.Node, path string) {
			p.list(n, path, maxFeeSets, func(item *yaml.Node, at string) { d.feeSets = append(d.feeSets, p.feeSet(item, at)) })
		}},
		{"agents", false, func(n *yaml.Node, path string) {
			p.list(n, path, maxAgents, func(item *yaml.Node, at string) { d.agents = append(d.agents, p.agent(item, at)) })
		}},
		{"calendar", false, func(n *yaml.Node, path string) { p.calendar(d, path) }},
		{"settlement", false, func(n *yaml.Node, path string) { p.settlement(d, n, path) }},
		{"disputes", false, func(n *yaml.Node, path string) { d.disputeRules = p.disputes(n, path) }},
		{"default_rules", false, func(n *yaml.Node, path string) {
			p.list(n, path, maxDefaults, func(item *yaml.Node, at string) { d.defaults = append(d.defaults, p.defaultRules(item, at)) })
		}},
	})
}

func (p *parser) participant(n *yaml.Node, path string) *Participant {
	v := &Participant{}
	p.mapping(n, path, []field{
		{"id", true, func(n *yaml.Node, path string) {
			s, ok := p.text(n, path, 64)
			if v.ID = tongma.ParticipantID(s); ok && !v.ID.Valid() {
				p.invalid(path, "must be lower-case letters, digits and hyphens, at most 32, from a letter, and no reserved word")
			}
		}},
		{"name", true, func(n *yaml.Node, path string) { v.Name, _ = p.text(n, path, 64) }},
		{"country", true, func(n *yaml.Node, path string) { v.Country = p.country(n, path) }},
		{"suspended", false, func(n *yaml.Node, path string) { v.Suspended = p.flag(n, path) }},
		{"roles", true, func(n *yaml.Node, path string) { p.roles(v, n, path) }},
		{"acquirer_ids", false, func(n *yaml.Node, path string) {
			p.list(n, path, 32, func(item *yaml.Node, at string) {
				v.AcquirerIDs = append(v.AcquirerIDs, p.digits(item, at, 1, 11))
			})
		}},
		{"issuer_code", false, func(n *yaml.Node, path string) { v.IssuerCode = p.digits(n, path, 4, 4) }},
		{"scheme", false, func(n *yaml.Node, path string) { v.Scheme = p.schemeID(n, path) }},
		{"caps", false, func(n *yaml.Node, path string) { v.Caps = p.amounts(n, path, 0, maxCap) }},
		{"accepts", false, func(n *yaml.Node, path string) { p.accepts(v, n, path) }},
		{"sponsor", false, func(n *yaml.Node, path string) { v.Sponsor = p.participantID(n, path) }},
		{"dealer", false, func(n *yaml.Node, path string) { v.Dealer = p.dealer(n, path) }},
		{"accounts", false, func(n *yaml.Node, path string) {
			p.list(n, path, maxAccounts, func(item *yaml.Node, at string) { v.Accounts = append(v.Accounts, p.account(item, at)) })
		}},
		{"key", false, func(n *yaml.Node, path string) { p.key(v, n, path) }},
	})
	return v
}

func (p *parser) roles(v *Participant, n *yaml.Node, path string) {
	p.list(n, path, 2, func(item *yaml.Node, at string) {
		switch role, ok := p.text(item, at, 16); {
		case role == "acquirer" && !v.Acquirer:
			v.Acquirer = true
		case role == "issuer" && !v.Issuer:
			v.Issuer = true
		case role == "service" && !v.Service:
			v.Service = true
		case ok:
			p.fail(at, tongma.FieldInvalid, nearest(role, []string{"acquirer", "issuer", "service"}), "must be acquirer or issuer, each once, or service")
		}
	})
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		p.invalid(path, "is empty; a participant is acquirer, issuer or both, or else service")
	case v.Service && (v.Acquirer || v.Issuer):
		p.invalid(path, "says service, which is for participants that are neither acquirer nor issuer")
	}
}

func (p *parser) accepts(v *Participant, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		if v.AcceptsAll = n.Value == "all"; !v.AcceptsAll {
			p.invalid(path, "must be the word all, or a list of schemes")
		}
		return
	}
	p.list(n, path, MaxSchemes, func(item *yaml.Node, at string) {
		v.Accepts = append(v.Accepts, p.schemeID(item, at))
	})
}

func (p *parser) key(v *Participant, n *yaml.Node, path string) {
	switch s, ok := p.text(n, path, 80); {
	case s == RefCreds:
		v.KeyRef = RefCreds
	case ok && nkeys.IsValidPublicUserKey(s):
		v.Key = s
	case ok:
		p.invalid(path, "must be the word %s or the public NKey of a user, U and 55 characters", RefCreds)
	}
}

func (p *parser) scheme(n *yaml.Node, path string) *Scheme {
	v := &Scheme{
		Rank: DefaultRank, AuthoriseTimeout: DefaultAuthoriseTimeout, InquireEvery: DefaultInquireEvery,
		ReverseEvery: DefaultReverseEvery, ConfirmWithin: DefaultConfirmWithin, CodeLifetime: DefaultCodeLifetime,
	}
	span := func(name string, to *time.Duration, low, high time.Duration) field {
		return field{name, false, func(n *yaml.Node, path string) { *to = p.duration(n, path, low, high) }}
	}
	p.mapping(n, path, []field{
		{"id", true, func(n *yaml.Node, path string) { v.ID = p.schemeID(n, path) }},
		{"name", true, func(n *yaml.Node, path string) { v.Name, _ = p.text(n, path, 64) }},
		{"participant", true, func(n *yaml.Node, path string) { v.Participant = p.participantID(n, path) }},
		{"fee_party", false, func(n *yaml.Node, path string) { v.FeeParty = p.participantID(n, path) }},
		{"rank", false, func(n *yaml.Node, path string) { v.Rank = p.number(n, path, 1, 10000) }},
		{"countries", true, func(n *yaml.Node, path string) { v.Countries = p.countries(n, path) }},
		{"currencies", true, func(n *yaml.Node, path string) { v.Currencies = p.currencies(n, path) }},
		{"max_payment", false, func(n *yaml.Node, path string) { v.MaxPayment = p.amounts(n, path, 1, tongma.MaxMinor) }},
		{"reads", false, func(n *yaml.Node, path string) {
			p.list(n, path, 64, func(item *yaml.Node, at string) {
				v.Reads = append(v.Reads, string(p.schemeID(item, at)))
			})
		}},
		{"claims", false, func(n *yaml.Node, path string) {
			p.list(n, path, 256, func(item *yaml.Node, at string) { v.Claims = append(v.Claims, p.claim(item, at)) })
		}},
		span("authorise_timeout", &v.AuthoriseTimeout, 100*time.Millisecond, 2*time.Minute),
		span("inquire_every", &v.InquireEvery, 100*time.Millisecond, 10*time.Minute),
		span("reverse_every", &v.ReverseEvery, 100*time.Millisecond, 10*time.Minute),
		span("confirm_within", &v.ConfirmWithin, time.Second, 24*time.Hour),
		span("code_lifetime", &v.CodeLifetime, time.Second, 24*time.Hour),
		{"code_reusable_after_decline", false, func(n *yaml.Node, path string) { v.CodeReusableAfterDecline = p.flag(n, path) }},
		{"consult", false, func(n *yaml.Node, path string) { v.Consult = p.flag(n, path) }},
		{"exchange", false, func(n *yaml.Node, path string) { v.Exchange = p.flag(n, path) }},
	})
	return v
}

func (p *parser) claim(n *yaml.Node, path string) Claim {
	var c Claim
	p.mapping(n, path, []field{
		{"prefix", true, func(n *yaml.Node, path string) { c.Prefix = p.digits(n, path, 2, paycode.MinDigits) }},
		{"length", true, func(n *yaml.Node, path string) { c.MinDigits, c.MaxDigits = p.lengths(n, path) }},
	})
	switch {
	case strings.HasPrefix(c.Prefix, paycode.UnifiedPrefix):
		p.invalid(path+"/prefix", "%s starts codes of the unified format", paycode.UnifiedPrefix)
	case strings.HasPrefix(c.Prefix, "00"):
		p.invalid(path+"/prefix", "00 starts merchants' codes")
	}
	return c
}

// lengths reads "19" or "16-24": digits of a payer's code.
func (p *parser) lengths(n *yaml.Node, path string) (low, high int) {
	s, ok := p.text(n, path, 8)
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if ok && (err1 != nil || err2 != nil || low < paycode.MinDigits || high < low || high > paycode.MaxDigits) {
		p.invalid(path, "must be a number of digits from %d to %d, or two of them joined by a hyphen", paycode.MinDigits, paycode.MaxDigits)
	}
	return low, high
}

func (p *parser) schemeID(n *yaml.Node, path string) tongma.SchemeID {
	s, ok := p.text(n, path, 64)
	id := tongma.SchemeID(s)
	switch {
	case ok && !id.Valid():
		p.invalid(path, "must be lower-case letters, digits and hyphens, at most 32, from a letter")
	case id == unifiedScheme:
		p.invalid(path, "%s names the unified format, which belongs to no one scheme", unifiedScheme)
	}
	return id
}

// participantID reads a reference to a participant. Whether there is one is judged
// when all are known.
func (p *parser) participantID(n *yaml.Node, path string) tongma.ParticipantID {
	s, _ := p.text(n, path, 64)
	return tongma.ParticipantID(s)
}

func (p *parser) country(n *yaml.Node, path string) string {
	s, ok := p.text(n, path, 64)
	if ok && (len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z') {
		p.invalid(path, "must be two capital letters (ISO 3166-1)")
	}
	return s
}

// countries reads a list, or the word all as no list.
func (p *parser) countries(n *yaml.Node, path string) []string {
	if n.Kind == yaml.ScalarNode && n.Value == "all" {
		return nil
	}
	all := []string{}
	p.list(n, path, 300, func(item *yaml.Node, at string) { all = append(all, p.country(item, at)) })
	if n.Kind == yaml.SequenceNode && len(all) == 0 {
		p.invalid(path, "is empty; write the word all if the codes pay everywhere")
	}
	return all
}

func (p *parser) currency(code, path string) tongma.Currency {
	c, ok := tongma.CurrencyByCode(code)
	if !ok {
		p.fail(path, tongma.CurrencyUnknown, nearestCurrency(code), "is no currency of ISO 4217")
	}
	return c
}

func nearestCurrency(code string) string {
	if c, ok := tongma.CurrencyByCode(strings.ToUpper(code)); ok {
		return c.Code()
	}
	if c, ok := tongma.CurrencyByNumber(code); ok {
		return c.Code()
	}
	return ""
}

func (p *parser) currencies(n *yaml.Node, path string) []tongma.Currency {
	var all []tongma.Currency
	p.list(n, path, 300, func(item *yaml.Node, at string) {
		if s, ok := p.text(item, at, 8); ok {
			all = append(all, p.currency(s, at))
		}
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.invalid(path, "is empty; there must be at least one currency")
	}
	return all
}

// amounts reads a mapping of currency to a decimal of major units.
func (p *parser) amounts(n *yaml.Node, path string, low, high int64) map[tongma.Currency]int64 {
	all := make(map[tongma.Currency]int64)
	p.pairs(n, path, func(key, value *yaml.Node, at string) {
		c := p.currency(key.Value, at)
		if !c.Valid() {
			return
		}
		if minor, ok := p.amount(value, at, c, low, high); ok {
			all[c] = minor
		}
	})
	return all
}

// amount reads a decimal of major units as minor units from low to high.
func (p *parser) amount(n *yaml.Node, path string, c tongma.Currency, low, high int64) (int64, bool) {
	s, ok := p.text(n, path, 32)
	if !ok {
		return 0, false
	}
	m, err := tongma.ParseMoney(s, c)
	switch {
	case err != nil:
		p.fail(path, tongma.ReasonOf(err), "", "must be a decimal of major units with at most %d decimals, without sign or commas", c.MinorUnits())
	case m.Minor < low || m.Minor > high:
		p.invalid(path, "must be from %s to %s", tongma.Money{Minor: low, Currency: c}.Decimal(), tongma.Money{Minor: high, Currency: c}.Decimal())
	default:
		return m.Minor, true
	}
	return 0, false
}

func (p *parser) digits(n *yaml.Node, path string, low, high int) string {
	s, ok := p.text(n, path, 64)
	if !ok {
		return ""
	}
	if len(s) < low || len(s) > high || !allDigits(s) {
		if low == high {
			p.invalid(path, "must be %d digits", low)
		} else {
			p.invalid(path, "must be %d to %d digits", low, high)
		}
	}
	return s
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func (p *parser) number(n *yaml.Node, path string, low, high int) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < low || v > high {
		p.invalid(path, "must be a whole number from %d to %d", low, high)
	}
	return v
}

func (p *parser) duration(n *yaml.Node, path string, low, high time.Duration) time.Duration {
	v, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < low || v > high {
		p.invalid(path, "must be a time from %s to %s, such as 5s or 1m30s", low, high)
	}
	return v
}

// secretLine returns the line of the first private key in a source, or 0: a PEM
// block, or an NKey seed (S, then its kind, 58 characters of base 32 in all).
func secretLine(source []byte) int {
	for i, line := range strings.Split(string(source), "\n") {
		if strings.Contains(line, "PRIVATE KEY") {
			return i + 1
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
			if len(word) == 58 && word[0] == 'S' && nkeys.IsValidEncoding([]byte(word)) {
				return i + 1
			}
		}
	}
	return 0
}
