package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Verbs that a shard answers to.
const (
	verbDo        = "do"        // carry out a participant's request
	verbResolve   = "resolve"   // say what a wallet's payer would pay, and keep the quote
	verbClaim     = "claim"     // give a key to the shard that asks
	verbHolder    = "holder"    // which shard has the payment under a key
	verbKnows     = "knows"     // is a payment, or a dispute, with this id here?
	verbSpent     = "spent"     // was this code spent here, by somebody who has left?
	verbCarry     = "carry"     // take in what has left for here
	verbRoom      = "room"      // send room of somebody who is at home here
	verbSweep     = "sweep"     // send home what of somebody lies here
	verbFollow    = "follow"    // of the head: what is to be followed
	verbGather    = "gather"    // of the head: take in what a window comes to
	verbMove      = "move"      // let somebody go, or say how far that is
	verbHome      = "home"      // somebody is at home there now
	verbPositions = "positions" // what everybody has here
	verbRaise     = "raise"     // dispute a payment that is here
	verbStep      = "step"      // take a dispute that is kept here to its next stage
	verbDispute   = "dispute"   // say how a dispute stands
	verbDisputes  = "disputes"  // list those that are kept here
	verbOrder     = "order"     // change a cap or prefunding of somebody who is at home here
	verbOffer     = "offer"     // of the head: bring a directory into force
	verbSource    = "source"    // show a directory that is in force here, or was offered
	verbCaps      = "caps"      // list the caps that were proposed here
	verbSuspend   = "suspend"   // of the head: take no debits of somebody
	verbResume    = "resume"    // of the head: take them again
)

const (
	subjectAll    = "tm.shard.all"    // something is to be followed
	subjectEpochs = "tm.shard.epochs" // in which epoch a shard is written
	askWithin     = 2 * time.Second
	epochWithin   = 500 * time.Millisecond
	replyGrace    = 20 * time.Millisecond // kept back for relaying an answer
)

// subject is where one writer of a shard is asked: the one of an epoch, and no other.
func subject(shard uint16, epoch uint64, verb string) string {
	return fmt.Sprintf("tm.shard.%d.%d.%s", shard, epoch, verb)
}

// subjectEpoch is where a shard is asked in which epoch it is written.
func subjectEpoch(shard uint16) string { return fmt.Sprintf("tm.shard.%d.epoch", shard) }

// epochMsg is in which epoch a shard is written, as far as who says it knows.
type epochMsg struct {
	Shard  uint16 `json:"shard"`
	Epoch  uint64 `json:"epoch"`
	Shards uint16 `json:"of,omitempty"`     // how many there are, as far as it knows
	Spread uint16 `json:"spread,omitempty"` // over how many ids and keys are spread

	Directory string `json:"directory,omitempty"` // hash of the one that it goes by, in hex
	Half      bool   `json:"half,omitempty"`      // which is not wholly in force there
}

// fault is an error as it travels.
type fault struct {
	Op     string        `json:"op"`
	Reason tongma.Reason `json:"reason"`
	Field  string        `json:"field,omitempty"`
	Offset int           `json:"offset,omitempty"`
	Detail string        `json:"detail,omitempty"`
}

// reply is what every verb answers.
type reply struct {
	Fault *fault          `json:"fault,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

func faultOf(err error) *fault {
	var e *tongma.Error
	if errors.As(err, &e) {
		return &fault{e.Op, e.Reason, e.Field, e.Offset, e.Detail}
	}
	return &fault{Op: "switch.shard", Reason: tongma.ReasonOf(err)}
}

func (f *fault) err() error {
	return &tongma.Error{Op: f.Op, Reason: f.Reason, Field: f.Field, Offset: f.Offset, Detail: f.Detail}
}

// requestMsg is a participant's request, from the shard whose door it came in at.
type requestMsg struct {
	From    tongma.ParticipantID `json:"from"`
	Op      tongma.Operation     `json:"operation"`
	Hops    int                  `json:"hops,omitempty"`
	Sought  bool                 `json:"sought,omitempty"`
	Claimed bool                 `json:"claimed,omitempty"`
	Request json.RawMessage      `json:"request"`
}

type answerMsg struct {
	Answer   json.RawMessage `json:"answer"`
	Replayed bool            `json:"replayed,omitempty"`
}

type keyMsg struct {
	Asker tongma.ParticipantID `json:"asker"`
	Key   string               `json:"key"`
	Shard uint16               `json:"shard,omitempty"`
	Older bool                 `json:"older,omitempty"` // of a holder: it has payments of before there were others
}

type idMsg struct {
	Payment tongma.PaymentID `json:"payment"`
}

type spentMsg struct {
	Who   tongma.ParticipantID `json:"who"`
	Moves uint64               `json:"moves"` // how often it has moved, as far as who asks knows
	Code  []byte               `json:"code"`  // the keyed digest
}

type yesMsg struct {
	Yes bool `json:"yes"`
}

type carryMsg struct {
	From    uint16        `json:"from"`
	Carries []carriedLine `json:"carries"`
}

type carriedLine struct {
	Sequence uint64               `json:"sequence"`
	Who      tongma.ParticipantID `json:"who"`
	Minor    int64                `json:"minor"`
	Currency uint16               `json:"currency"`
}

type takenMsg struct {
	Taken uint64 `json:"taken"`
}

type roomMsg struct {
	Who      tongma.ParticipantID `json:"who"`
	Minor    int64                `json:"minor"`
	Currency uint16               `json:"currency"`
	To       uint16               `json:"to"`
}

type followMsg struct {
	Shard  uint16            `json:"shard"`
	Linked []tongma.WindowID `json:"linked"`
}

type followedMsg struct {
	Windows   []followedLine         `json:"windows"`
	Suspended []tongma.ParticipantID `json:"suspended"`
	Moves     []moveLine             `json:"moves"`
	Directory []byte                 `json:"directory,omitempty"` // hash of the one that all go by
}

type followedLine struct {
	Window  tongma.WindowID `json:"window"`
	Settled bool            `json:"settled,omitempty"`
	Sheet   []byte          `json:"sheet"`
	Close   []byte          `json:"close"` // canonical bytes of the entry that follows
}

type moveLine struct {
	Who   tongma.ParticipantID `json:"who"`
	Shard uint16               `json:"shard"`
	Moves uint64               `json:"moves"`
}

type pageMsg struct {
	Entry []byte `json:"entry"`
}

type homeMsg struct {
	Entry []byte `json:"entry"`
}

type moveMsg struct {
	Who tongma.ParticipantID `json:"who"`
	To  uint16               `json:"to"`
	Dry bool                 `json:"dry,omitempty"`
}

// ask asks a shard, and reads its answer into body. Only the writer of one epoch hears
// it, the latest that is known: a deposed one that still listens cannot say that nothing
// was done while its successor does it. An error of reason JournalInDoubt means that it
// is not known whether it was heard.
func (n *Node) ask(ctx context.Context, shard uint16, verb string, msg, body any) error {
	data, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	epoch := n.epochs[shard].Load()
	if epoch == 0 {
		epoch = n.learnEpoch(ctx, shard)
	}
	var m *nats.Msg
	for err = nats.ErrNoResponders; epoch != 0; {
		if m, err = n.opts.Conn.RequestWithContext(ctx, subject(shard, epoch, verb), data); !errors.Is(err, nats.ErrNoResponders) {
			break
		}
		later := n.learnEpoch(ctx, shard) // it may have another writer
		if later <= epoch {
			break
		}
		epoch = later
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return &tongma.Error{Op: "switch.shard", Reason: tongma.Overloaded, Detail: fmt.Sprintf("shard %d is not there: nothing was done, try again later", shard)}
	case err != nil:
		return &tongma.Error{Op: "switch.shard", Reason: tongma.JournalInDoubt, Detail: fmt.Sprintf("shard %d did not answer in time: repeat with the same key, or inquire", shard), Err: err}
	}
	var r reply
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return unread(shard, err)
	}
	if r.Fault != nil {
		return r.Fault.err()
	}
	if body == nil {
		return nil
	}
	if err := json.Unmarshal(r.Body, body); err != nil {
		return unread(shard, err)
	}
	return nil
}

// learnEpoch asks a shard in which epoch it is written, and returns the latest that was
// ever heard of; zero if none was.
func (n *Node) learnEpoch(ctx context.Context, shard uint16) uint64 {
	ctx, cancel := context.WithTimeout(ctx, epochWithin)
	defer cancel()
	if m, err := n.opts.Conn.RequestWithContext(ctx, subjectEpoch(shard), nil); err == nil {
		n.hearEpoch(m)
	}
	return n.epochs[shard].Load()
}

// hearEpoch takes note of the epoch of another shard: never of an earlier one.
func (n *Node) hearEpoch(m *nats.Msg) {
	var e epochMsg
	if json.Unmarshal(m.Data, &e) != nil || e.Shard == 0 || e.Shard > n.opts.Count || e.Shard == n.opts.Self {
		return
	}
	if e.Epoch >= n.epochs[e.Shard].Load() {
		n.counts[e.Shard].Store(uint32(e.Shards))
		n.hearVersion(e.Shard, e.Directory, e.Half)
	}
	for known := &n.epochs[e.Shard]; ; {
		if was := known.Load(); e.Epoch <= was || known.CompareAndSwap(was, e.Epoch) {
			return
		}
	}
}

// sayEpoch tells the others, or whoever asks, in which epoch this shard is written.
func (n *Node) sayEpoch(to string) {
	hash, half := n.goesBy()
	if data, err := json.Marshal(epochMsg{n.opts.Self, n.ledger.Epoch(), n.opts.Count, n.spread(), hash, half}); err == nil {
		_ = n.opts.Conn.Publish(to, data) // what is not heard is said again
	}
}

// unread is the error of an answer that cannot be read.
func unread(shard uint16, err error) error {
	return &tongma.Error{Op: "switch.shard", Reason: tongma.JournalInDoubt, Detail: fmt.Sprintf("shard %d answered what cannot be read", shard), Err: err}
}

// soon bounds a question of the background.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askWithin)
}

// entryOf reads an entry that another shard has sent, which must be of one kind.
func entryOf(data []byte, kind clearing.Kind) (clearing.Entry, error) {
	e, err := clearing.ParseEntry(data)
	if err == nil && e.Kind != kind {
		err = &tongma.Error{Op: "switch.shard", Reason: tongma.FieldInvalid}
	}
	e.Number, e.Time, e.Directory = 0, 0, 0
	return e, err
}
