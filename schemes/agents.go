package schemes

import (
	"cmp"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	tongma "github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// Institution is who somebody is to a settlement agent. BIC or ID identifies; both
// may be there.
type Institution struct {
	Name   string // at most 140 characters
	BIC    string // ISO 9362, 8 or 11 characters
	ID     string // an LEI (ISO 17442), or a number that the agent gave: at most 35 characters
	IDKind string // "LEI", or what kind the agent calls it; may be empty
}

// AccountID names an account at a settlement agent, by one of two ids. The zero
// AccountID is none.
type AccountID struct {
	IBAN  string // ISO 13616
	Other string // at most 34 characters
}

// IsZero tells whether no account is named.
func (a AccountID) IsZero() bool { return a == AccountID{} }

// Account is a participant's account in one currency at a settlement agent.
type Account struct {
	Agent    AgentID
	Currency tongma.Currency
	Holder   Institution // its name is the participant's unless another is given
	ID       AccountID   // debited for what the participant owes, credited with what it gets
	// Prefunding is the account from which a shortfall is taken first; none if the
	// participant holds no such money.
	Prefunding AccountID
	Mandate    string // the participant's mandate for direct debits; empty if it gave none
}

// Agent is a settlement agent: the bank in whose books the participants settle.
type Agent struct {
	ID         AgentID
	Who        Institution
	URL        string            // its HTTP endpoint: https, or http on this machine; "" if people carry the messages
	Currencies []tongma.Currency // what it settles in
	System     string            // its name for this clearing system, at most 35 characters; may be empty
	SystemCode string            // or its code of at most 3 characters
	Switch     Institution       // who the switch is to it
	// Settlement is the account of the switch in each currency, into which debtors
	// pay and from which creditors are paid.
	Settlement map[tongma.Currency]AccountID
}

// Settles tells whether the agent settles in a currency.
func (a *Agent) Settles(c tongma.Currency) bool { return slices.Contains(a.Currencies, c) }

// Agent finds a settlement agent by its id.
func (d *Directory) Agent(id AgentID) (*Agent, bool) {
	a, ok := d.byAgent[id]
	return a, ok
}

// Agents returns all settlement agents, ordered by id.
func (d *Directory) Agents() []*Agent { return slices.Clone(d.agents) }

// AgentFor finds who settles a model's windows in a currency. There may be nobody:
// then people settle them.
func (d *Directory) AgentFor(model string, currency tongma.Currency) (*Agent, bool) {
	m := d.byModel[model]
	if m == nil {
		return nil, false
	}
	a := d.byAgent[m.Agent]
	if a == nil || !a.Settles(currency) {
		return nil, false
	}
	return a, true
}

// Account finds the participant's account at an agent in a currency.
func (p *Participant) Account(agent AgentID, currency tongma.Currency) (*Account, bool) {
	for i := range p.Accounts {
		if a := &p.Accounts[i]; a.Agent == agent && a.Currency == currency {
			return a, true
		}
	}
	return nil, false
}

const (
	maxAgents   = 200
	maxAccounts = 500 // of one participant
)

func (p *parser) agent(n *yaml.Node, path string) *Agent {
	a := &Agent{}
	p.mapping(n, path, append(p.institution(&a.Who, true), []field{
		{"id", true, func(n *yaml.Node, path string) { a.ID = p.agentID(n, path) }},
		{"url", false, func(n *yaml.Node, path string) { a.URL = p.endpoint(n, path) }},
		{"currencies", true, func(n *yaml.Node, path string) { a.Currencies = p.currencies(n, path) }},
		{"system", false, func(n *yaml.Node, path string) { a.System = p.line(n, path, 35) }},
		{"system_code", false, func(n *yaml.Node, path string) { a.SystemCode = p.line(n, path, 3) }},
		{"switch", true, func(n *yaml.Node, path string) {
			p.mapping(n, path, append(p.institution(&a.Switch, true),
				field{"accounts", true, func(n *yaml.Node, path string) { a.Settlement = p.settlementAccounts(n, path) }}))
			p.identified(&a.Switch, path)
		}},
	}...))
	p.identified(&a.Who, path)
	return a
}

// institution returns the keys that say who somebody is. id is the key for the
// agent's own number, which an agent itself has not.
func (p *parser) institution(to *Institution, named bool) []field {
	return []field{
		{"name", named, func(n *yaml.Node, path string) { to.Name = p.line(n, path, 140) }},
		{"bic", false, func(n *yaml.Node, path string) {
			if to.BIC, _ = p.text(n, path, 64); to.BIC != "" && !validBIC(to.BIC) {
				p.invalid(path, "must be a BIC: 8 or 11 capital letters and digits (ISO 9362)")
			}
		}},
		{"lei", false, func(n *yaml.Node, path string) {
			s, ok := p.text(n, path, 64)
			if ok && !validLEI(s) {
				p.invalid(path, "must be an LEI: 20 capital letters and digits with their check digits (ISO 17442)")
			}
			p.identify(to, s, "LEI", path)
		}},
		{"number", false, func(n *yaml.Node, path string) { p.identify(to, p.ident(n, path, 35), "", path) }},
		{"number_kind", false, func(n *yaml.Node, path string) { to.IDKind = p.line(n, path, 35) }},
	}
}

func (p *parser) identify(to *Institution, id, kind, path string) {
	if to.ID != "" {
		p.invalid(path, "must not stand beside lei or number: a message carries one of them")
		return
	}
	to.ID = id
	if kind != "" {
		to.IDKind = kind
	}
}

// identified fails if somebody has a name only.
func (p *parser) identified(who *Institution, path string) {
	switch {
	case who.BIC == "" && who.ID == "":
		p.fail(path+"/bic", tongma.FieldMissing, "", "is missing, and so are lei and number: a name does not identify")
	case who.IDKind != "" && who.ID == "":
		p.fail(path+"/number", tongma.FieldMissing, "", "is missing, and number_kind says what kind it is")
	}
}

func (p *parser) settlementAccounts(n *yaml.Node, path string) map[tongma.Currency]AccountID {
	all := make(map[tongma.Currency]AccountID)
	p.pairs(n, path, func(key, value *yaml.Node, at string) {
		if c := p.currency(key.Value, at); c.Valid() {
			all[c] = p.accountID(value, at)
		}
	})
	return all
}

// accountID reads {iban: …} or {account: …}.
func (p *parser) accountID(n *yaml.Node, path string) AccountID {
	var id AccountID
	p.mapping(n, path, p.accountFields(&id))
	p.oneAccount(id, path)
	return id
}

func (p *parser) accountFields(to *AccountID) []field {
	return []field{
		{"iban", false, func(n *yaml.Node, path string) {
			if to.IBAN, _ = p.text(n, path, 64); to.IBAN != "" && !validIBAN(to.IBAN) {
				p.invalid(path, "must be an IBAN without blanks, with its check digits (ISO 13616)")
			}
		}},
		{"account", false, func(n *yaml.Node, path string) { to.Other = p.ident(n, path, 34) }},
	}
}

func (p *parser) oneAccount(id AccountID, path string) {
	switch {
	case id.IBAN != "" && id.Other != "":
		p.invalid(path+"/account", "must not stand beside iban")
	case id.IsZero():
		p.fail(path+"/account", tongma.FieldMissing, "", "is missing, and so is iban")
	}
}

func (p *parser) account(n *yaml.Node, path string) Account {
	before := len(p.problems)
	var a Account
	fields := append(p.institution(&a.Holder, false), p.accountFields(&a.ID)...)
	p.mapping(n, path, append(fields, []field{
		{"agent", true, func(n *yaml.Node, path string) { a.Agent = p.agentID(n, path) }},
		{"currency", true, func(n *yaml.Node, path string) {
			if s, ok := p.text(n, path, 8); ok {
				a.Currency = p.currency(s, path)
			}
		}},
		{"prefunding", false, func(n *yaml.Node, path string) { a.Prefunding = p.accountID(n, path) }},
		{"mandate", false, func(n *yaml.Node, path string) { a.Mandate = p.ident(n, path, 35) }},
	}...))
	if len(p.problems) == before {
		p.oneAccount(a.ID, path)
		p.identified(&a.Holder, path)
	}
	return a
}

// endpoint reads a URL: of another machine by https only, and without anything
// secret in it.
func (p *parser) endpoint(n *yaml.Node, path string) string {
	s, ok := p.text(n, path, 256)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		p.invalid(path, "must be a URL such as https://settlement.example.org/iso20022")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		p.invalid(path, "must have no user, query or fragment; a directory holds no secrets")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		p.invalid(path, "must be https, but for an agent on this machine")
	}
	return s
}

func onThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// line reads text that goes into messages: printable, and no blanks at either end.
func (p *parser) line(n *yaml.Node, path string, limit int) string {
	s, ok := p.text(n, path, limit)
	if ok && (strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })) {
		p.invalid(path, "must be printable, without blanks at its ends")
	}
	return s
}

// ident reads an identifier that goes into messages: letters, digits and the marks
// that every bank takes, without blanks and slashes at the ends.
func (p *parser) ident(n *yaml.Node, path string, limit int) string {
	s, ok := p.text(n, path, 64)
	if ok && (len(s) > limit || !validIdent(s)) {
		p.invalid(path, "must be 1 to %d letters, digits and marks of / - ? : ( ) . , ' + and blank", limit)
	}
	return s
}

func validIdent(s string) bool {
	odd := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("/-?:().,'+ ", r)
	}
	return s != "" && strings.Trim(s, " /") == s && !strings.Contains(s, "//") && strings.IndexFunc(s, odd) < 0
}

// validBIC tells whether s has the form of ISO 9362: four letters or digits, two
// letters of the country, two of the place and, or not, three of the branch.
func validBIC(s string) bool {
	return (len(s) == 8 || len(s) == 11) && capitals(s) && s[4] >= 'A' && s[5] >= 'A'
}

// validLEI tells whether s has the form of ISO 17442: 18 letters and digits, and two
// check digits of ISO 7064 MOD 97-10.
func validLEI(s string) bool { return len(s) == 20 && capitals(s) && rest97(s) == 1 }

// validIBAN tells whether s has the form of ISO 13616 and its check digits are
// right.
func validIBAN(s string) bool {
	return len(s) >= 15 && len(s) <= 34 && capitals(s) && s[0] >= 'A' && s[1] >= 'A' && allDigits(s[2:4]) && rest97(s[4:]+s[:4]) == 1
}

// capitals tells whether s is capital letters and digits.
func capitals(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') }) < 0
}

// rest97 reads s as a number in which A is 10 and Z is 35, and returns it modulo 97.
func rest97(s string) int {
	rest := 0
	for i := range len(s) {
		if c := int(s[i]); c >= 'A' {
			rest = (rest*100 + c - 'A' + 10) % 97
		} else {
			rest = (rest*10 + c - '0') % 97
		}
	}
	return rest
}

// linkAgents checks the agents, and the participants' accounts at them.
func (p *parser) linkAgents(d *Directory) {
	d.byAgent = make(map[AgentID]*Agent, len(d.agents))
	taken := make(map[heldAt]bool)
	for i, a := range d.agents {
		path := item("agents", i)
		once(p, d.byAgent, a.ID, a, path+"/id", "this id")
		distinct(p, path+"/currencies", a.Currencies)
		for j, c := range a.Currencies {
			if slices.Contains(a.Currencies[:j], c) {
				continue
			}
			if id, ok := a.Settlement[c]; !ok {
				p.fail(path+"/switch/accounts/"+c.Code(), tongma.FieldMissing, "", "is missing: the agent settles in %s", c)
			} else {
				once(p, taken, heldAt{a.ID, id}, true, path+"/switch/accounts/"+c.Code(), "this account")
			}
		}
		for _, c := range slices.Sorted(maps.Keys(a.Settlement)) {
			if !a.Settles(c) {
				p.invalid(path+"/switch/accounts/"+c.Code(), "is no currency of this agent")
			}
		}
	}
	for i, v := range d.participants {
		for j := range v.Accounts {
			p.linkAccount(d, v, j, taken, item(item("participants", i)[1:]+"/accounts", j))
		}
	}
	slices.SortFunc(d.agents, func(a, b *Agent) int { return cmp.Compare(a.ID, b.ID) })
}

// heldAt is an account in an agent's books. It has one owner.
type heldAt struct {
	agent AgentID
	id    AccountID
}

func (p *parser) linkAccount(d *Directory, v *Participant, j int, taken map[heldAt]bool, path string) {
	a := &v.Accounts[j]
	if a.Holder.Name == "" {
		a.Holder.Name = v.Name
	}
	agent := d.byAgent[a.Agent]
	switch _, capped := v.Caps[a.Currency]; {
	case agent == nil:
		p.noAgent(d, path+"/agent", a.Agent)
		return
	case !agent.Settles(a.Currency):
		p.invalid(path+"/currency", "is no currency of %s", a.Agent)
	case !capped:
		p.invalid(path+"/currency", "is one in which the participant has no cap, and so no account in the books")
	}
	if first, _ := v.Account(a.Agent, a.Currency); first != a {
		p.invalid(path, "is a second account at %s in %s", a.Agent, a.Currency)
		return
	}
	once(p, taken, heldAt{a.Agent, a.ID}, true, path, "this account")
	if !a.Prefunding.IsZero() {
		once(p, taken, heldAt{a.Agent, a.Prefunding}, true, path+"/prefunding", "this account")
	}
}

func (p *parser) noAgent(d *Directory, path string, id AgentID) {
	p.fail(path, tongma.FieldInvalid, nearest(string(id), keysOf(d.byAgent)), "there is no such agent")
}

// linkAccounts fails if a window could not be settled because somebody who may owe
// or get money in it has no account at its agent.
func (p *parser) linkAccounts(d *Directory) {
	for i, v := range d.participants {
		path := item("participants", i)
		told := make(map[string]bool)
		for _, m := range d.models {
			agent := d.byAgent[m.Agent]
			if agent == nil || v.Sponsor != "" {
				continue
			}
			for c := range sorted(v.Caps) {
				_, has := v.Account(agent.ID, c)
				concerns := agent.Settles(c) && (len(m.Currencies) == 0 || slices.Contains(m.Currencies, c))
				if what := string(agent.ID) + " in " + c.Code(); concerns && !has && !told[what] {
					told[what] = true
					p.fail(path+"/accounts", tongma.FieldMissing, "", "has none at %s, where what it has a cap for is settled", what)
				}
			}
		}
	}
}
