package schemes

import (
	"time"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
)

// Directory is one numbered, immutable version of who takes part, under what
// rules. What its methods return is shared and must not be changed.
type Directory struct {
	version uint64
	hash    [32]byte
	source  []byte
	name    string
	rules   *codespec.Rules // what Decode starts from
	extra   *codespec.Rules // what the directory adds, claims among it; nil if nothing

	participants  []*Participant // by id
	schemes       []*Scheme      // by id
	byParticipant map[tongma.ParticipantID]*Participant
	byScheme      map[tongma.SchemeID]*Scheme
	byAcquirerID  map[string]*Participant
	byIssuerCode  map[string]*Participant
	readers       map[string][]*Scheme // codespec's scheme name → who reads its codes, by rank

	agents  []*Agent // by id
	byAgent map[AgentID]*Agent
	settlement
	fees
	dealers    map[pairKey][]*Participant // by id
	defaults   []*DefaultRules            // by model, then by currency
	defaultsOf map[defaultKey]*DefaultRules

	disputeRules *DisputeRules // nil: nothing can be disputed
}

// Participant is a network that takes part: it accepts payments (acquirer),
// makes them (issuer), or both. Or it does neither, and has accounts because it
// earns fees, guarantees settlement or exchanges currencies (service).
type Participant struct {
	ID          tongma.ParticipantID
	Name        string
	Country     string // ISO 3166-1 alpha-2
	Suspended   bool   // its debits are refused, refunds that it would pay among them; credits go on
	Acquirer    bool
	Issuer      bool
	Service     bool     // neither of both
	AcquirerIDs []string // ISO 8583 DE32, as sent: up to 11 digits
	IssuerCode  string   // four digits, its number in the unified format; "" if none
	// Scheme clears what the unified format addresses to the participant: its
	// payers' codes and its merchants' codes. Empty if it has no IssuerCode and
	// runs no single scheme.
	Scheme tongma.SchemeID
	// Caps is the net debit cap per currency, in minor units. A currency that is
	// not there has no account.
	Caps       map[tongma.Currency]int64
	AcceptsAll bool              // takes codes of every scheme
	Accepts    []tongma.SchemeID // otherwise: of these, by id
	Accounts   []Account         // at settlement agents
	Key        string            // public NKey of its NATS user, "U…"; "" if KeyRef says where to find it
	KeyRef     string            // RefCreds, or "" if Key is given or it has no connection

	// Sponsor settles for it: what it pays and gets moves the sponsor's account, and
	// a memo account of its own under its own caps. "" if it settles itself.
	Sponsor tongma.ParticipantID
	Dealer  *Dealer // what it offers if it exchanges currencies, or nil

	accepts []bool // by Scheme.index
}

// RefCreds as a KeyRef means: the installation's keyring holds the key.
const RefCreds = "creds"

// AcceptsScheme tells whether the participant takes codes of a scheme: as an
// acquirer from payers, as a wallet from merchants.
func (p *Participant) AcceptsScheme(s *Scheme) bool {
	return p.AcceptsAll || s.index < len(p.accepts) && p.accepts[s.index]
}

// Scheme is a payment scheme: whose codes they are, where and how far they pay,
// and how patiently its network is asked.
type Scheme struct {
	ID   tongma.SchemeID
	Name string
	// Participant is the network that runs it: debtor of its payers' payments,
	// creditor for its merchants.
	Participant tongma.ParticipantID
	// FeeParty plays PartyScheme in fee rules: Participant, unless the scheme names
	// another.
	FeeParty   tongma.ParticipantID
	Rank       int               // lower is preferred when a code names several schemes
	Countries  []string          // where its codes pay, ISO 3166-1 alpha-2; none: everywhere
	Currencies []tongma.Currency // what it clears in, at least one
	// MaxPayment bounds one payment, in minor units. A currency that is not there
	// is bounded by tongma.MaxMinor only.
	MaxPayment map[tongma.Currency]int64
	Reads      []string // names that codespec's rules may give to its codes; its own id first
	Claims     []Claim  // payer codes that it claims beside the rules

	AuthoriseTimeout time.Duration // how long one question to it may take
	InquireEvery     time.Duration // pause between inquiries into an unknown outcome
	ReverseEvery     time.Duration // pause between reversals until one is acknowledged
	ConfirmWithin    time.Duration // how long the payer may take to confirm
	CodeLifetime     time.Duration // how long a payer's code lives
	// CodeReusableAfterDecline lets a payer's code be presented again when its
	// payment was declined. Normally a code is spent even if its payment failed.
	CodeReusableAfterDecline bool
	// Consult makes the switch ask the scheme whether a code is its own, even when
	// no other scheme claims the code.
	Consult bool
	// Exchange lets a payment be made in another currency than its merchant's, by a
	// dealer.
	Exchange bool

	index int
	owner *Participant
}

// Claim is a set of numeric payer codes: those with a prefix and a length.
type Claim struct {
	Prefix               string // 2 to 16 digits
	MinDigits, MaxDigits int
}

// Version returns the number of the directory, from 1.
func (d *Directory) Version() uint64 { return d.version }

// Hash returns the SHA-256 of the source.
func (d *Directory) Hash() [32]byte { return d.hash }

// Source returns a copy of the YAML that the directory was read from.
func (d *Directory) Source() []byte { return append([]byte(nil), d.source...) }

// Name returns what the directory calls itself, or "".
func (d *Directory) Name() string { return d.name }

// Rules returns the rules that this version starts from: codespec's, or the
// directory's own in their place. What the directory adds to them is known to
// Decode alone.
func (d *Directory) Rules() *codespec.Rules { return d.rules }

// Participant finds a participant by its id.
func (d *Directory) Participant(id tongma.ParticipantID) (*Participant, bool) {
	p, ok := d.byParticipant[id]
	return p, ok
}

// Participants returns all participants, ordered by id.
func (d *Directory) Participants() []*Participant {
	return append([]*Participant(nil), d.participants...)
}

// Scheme finds a scheme by its id.
func (d *Directory) Scheme(id tongma.SchemeID) (*Scheme, bool) {
	s, ok := d.byScheme[id]
	return s, ok
}

// Schemes returns all schemes, ordered by id.
func (d *Directory) Schemes() []*Scheme { return append([]*Scheme(nil), d.schemes...) }

// ParticipantByAcquirerID finds who sends with an acquiring institution code
// (ISO 8583 DE32), compared digit for digit.
func (d *Directory) ParticipantByAcquirerID(de32 string) (*Participant, bool) {
	p, ok := d.byAcquirerID[de32]
	return p, ok
}

// ParticipantByIssuerCode finds a participant by its four digits in the unified
// format: positions 3 to 6 of a payer's code.
func (d *Directory) ParticipantByIssuerCode(code4 string) (*Participant, bool) {
	p, ok := d.byIssuerCode[code4]
	return p, ok
}

// Serves tells whether the scheme clears in a currency.
func (s *Scheme) Serves(c tongma.Currency) bool {
	for _, have := range s.Currencies {
		if have == c {
			return true
		}
	}
	return false
}

// PaysIn tells whether the scheme's codes pay in a country (ISO 3166-1 alpha-2).
func (s *Scheme) PaysIn(country string) bool {
	for _, have := range s.Countries {
		if have == country {
			return true
		}
	}
	return len(s.Countries) == 0
}
