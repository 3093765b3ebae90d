package shard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// All shards go by one directory: the head's. A change at any shard is the head's first,
// and the others bring it into force when they hear of it, each under a number of its
// own: it is the content that must be the same. Until a shard has it, the status of every
// shard names it, and so does the log.

const (
	sourceChunk  = 256 << 10        // bytes of a directory in one answer
	bringWithin  = 25 * time.Second // how long the head may take over one that it is offered
	bringAgain   = 30 * time.Second // the longest pause between two tries of one that did not come into force
	heardLately  = 5 * time.Second  // a shard that has said nothing for so long may go by another by now
	differsAfter = 5 * time.Second  // a shard that goes by another directory for so long is logged
)

type sourceMsg struct {
	Hash   []byte `json:"hash"`
	Offset int    `json:"offset"`
}

type sourcePart struct {
	Size int    `json:"size"`
	Part []byte `json:"part"`
}

type offerMsg struct {
	Shard uint16 `json:"shard"`
	Hash  []byte `json:"hash"`
}

// version is what is known of the directory that another shard goes by.
type version struct {
	hash  string // in hex
	since time.Time
	heard time.Time
	half  bool // it is not wholly in force there
	told  bool // the log has said so
}

// bringing is how far this shard has come with a directory of the head.
type bringing struct {
	hash  [32]byte
	now   bool // somebody is at it
	tries int
	next  time.Time
	fault string // why it is not in force yet
}

// Offer has the head bring a directory into force, which the other shards then do too.
// The head itself is asked nothing. Reasons besides those of the head's refusal:
// Overloaded (it is not there: nothing has changed), JournalInDoubt (it fell silent).
func (n *Node) Offer(ctx context.Context, source []byte) error {
	if n.opts.Self == clearing.Head {
		return nil
	}
	hash := sha256.Sum256(source)
	n.mu.Lock()
	n.offered = bytes.Clone(source)
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bringWithin)
	defer cancel()
	err := n.ask(ctx, clearing.Head, verbOffer, offerMsg{n.opts.Self, hash[:]}, nil)
	switch tongma.ReasonOf(err) {
	case tongma.Overloaded:
		return &tongma.Error{Op: "switch.shard.directory", Reason: tongma.Overloaded, Detail: "shard 1 is not there, by whose directory all go: nothing has changed, try again when it is", Err: err}
	case tongma.JournalInDoubt:
		return &tongma.Error{Op: "switch.shard.directory", Reason: tongma.JournalInDoubt, Detail: "shard 1, by whose directory all go, did not answer in time: if it takes this one, all will; no money moves by it; the same again says so", Err: err}
	}
	return err
}

// takeOffer brings a directory into force that another shard was given.
func (n *Node) takeOffer(ctx context.Context, m offerMsg) (any, error) {
	var hash [32]byte
	if copy(hash[:], m.Hash) != len(hash) || len(m.Hash) != len(hash) || n.opts.Self != clearing.Head || m.Shard == clearing.Head || m.Shard > n.opts.Count || m.Shard == 0 {
		return nil, &tongma.Error{Op: "switch.shard.directory", Reason: tongma.FieldInvalid}
	}
	if d := n.engine.Directory(); d != nil && d.Hash() == hash {
		return yesMsg{true}, nil
	}
	source, err := n.fetch(ctx, m.Shard, hash)
	if err != nil {
		return nil, err
	}
	if err = n.bring(ctx, source); err != nil {
		reason := tongma.ReasonOf(err)
		if reason == tongma.Internal || reason == tongma.Overloaded { // it is there, and not too busy to say no
			reason = tongma.SetupInvalid
		}
		err = &tongma.Error{Op: "switch.shard.directory", Reason: reason, Detail: "shard 1, by whose directory all go: " + err.Error()}
	}
	return yesMsg{err == nil}, err
}

// bring has the directory come into force here, by whoever this Node belongs to.
func (n *Node) bring(ctx context.Context, source []byte) error {
	if n.opts.Bring == nil {
		return &tongma.Error{Op: "switch.shard.directory", Reason: tongma.SetupInvalid, Detail: "this switch takes a directory at its start only"}
	}
	return n.opts.Bring(ctx, source)
}

// fetch reads a directory from a shard that goes by it, or has offered it.
func (n *Node) fetch(ctx context.Context, from uint16, hash [32]byte) ([]byte, error) {
	var source []byte
	for {
		var got sourcePart
		asking, cancel := soon(ctx)
		err := n.ask(asking, from, verbSource, sourceMsg{hash[:], len(source)}, &got)
		cancel()
		if err != nil {
			return nil, err
		}
		source = append(source, got.Part...)
		if len(got.Part) == 0 || got.Size > schemes.MaxSource || len(source) > got.Size {
			return nil, &tongma.Error{Op: "switch.shard.directory", Reason: tongma.MessageMalformed, Detail: fmt.Sprintf("shard %d does not show the whole of it", from)}
		}
		if len(source) == got.Size {
			break
		}
	}
	if sha256.Sum256(source) != hash {
		return nil, &tongma.Error{Op: "switch.shard.directory", Reason: tongma.MessageMalformed, Detail: fmt.Sprintf("shard %d shows another one", from)}
	}
	return source, nil
}

// showSource shows a part of the directory in force here, or of one that was offered.
func (n *Node) showSource(m sourceMsg) (any, error) {
	n.mu.Lock()
	offered := n.offered
	n.mu.Unlock()
	source := offered
	if d := n.engine.Directory(); d != nil && bytes.Equal(m.Hash, hashBytes(d)) {
		source = d.Source()
	} else if sum := sha256.Sum256(offered); offered == nil || !bytes.Equal(m.Hash, sum[:]) {
		return nil, &tongma.Error{Op: "switch.shard.directory", Reason: tongma.StateConflict, Detail: fmt.Sprintf("shard %d goes by another directory by now", n.opts.Self)}
	}
	if m.Offset < 0 || m.Offset >= len(source) {
		return nil, &tongma.Error{Op: "switch.shard.directory", Reason: tongma.FieldInvalid}
	}
	return sourcePart{len(source), source[m.Offset:min(len(source), m.Offset+sourceChunk)]}, nil
}

func hashBytes(d *schemes.Directory) []byte {
	if d == nil {
		return nil
	}
	hash := d.Hash()
	return hash[:]
}

// keepUp brings the head's directory into force here, beside what else there is to do. One
// that does not come into force is tried again, ever more slowly.
func (n *Node) keepUp(head []byte) {
	var hash [32]byte
	if copy(hash[:], head) != len(hash) { // a head of an earlier version says nothing of it
		return
	}
	same := bytes.Equal(head, hashBytes(n.engine.Directory()))
	n.mu.Lock()
	b := &n.bringing
	if same && (b.fault == "" || b.hash != hash) {
		n.mu.Unlock()
		return
	}
	if b.hash != hash && !b.now {
		*b = bringing{hash: hash}
	}
	wait := b.now || time.Now().Before(b.next)
	if !wait {
		b.now = true
		b.tries++
		b.next = time.Now().Add(min(n.opts.Every<<min(b.tries, 10), bringAgain))
	}
	n.mu.Unlock()
	if wait {
		return
	}
	n.spawn(func() {
		ctx, cancel := context.WithTimeout(n.ctx, bringWithin)
		defer cancel()
		source, err := n.fetch(ctx, clearing.Head, hash)
		if err == nil {
			err = n.bring(ctx, source)
		}
		n.brought(hash, err)
	})
}

func (n *Node) brought(hash [32]byte, err error) {
	n.mu.Lock()
	b := &n.bringing
	b.now, b.fault = false, ""
	if err != nil {
		b.fault = err.Error()
	}
	n.mu.Unlock()
	switch {
	case n.ctx.Err() != nil:
	case err != nil:
		n.opts.Logger.Error("shard: the directory of shard 1 is not in force here: what is decided here goes by another one; it is tried again", "hash", short(hash[:]), "err", err)
	default:
		n.opts.Logger.Info("shard: the directory of shard 1 is in force", "hash", short(hash[:]), "version", n.engine.Directory().Version())
		n.sayEpoch(subjectEpochs)
	}
}

// goesBy is the directory that this shard says it goes by, in hex, and whether the head's
// is not wholly in force here.
func (n *Node) goesBy() (hash string, half bool) {
	hash = hex.EncodeToString(hashBytes(n.engine.Directory()))
	n.mu.Lock()
	defer n.mu.Unlock()
	return hash, n.bringing.fault != "" && hash == hex.EncodeToString(n.bringing.hash[:])
}

// hearVersion takes note of the directory that another shard goes by.
func (n *Node) hearVersion(shard uint16, hash string, half bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, now := &n.versions[shard], time.Now()
	if v.hash != hash || v.half != half {
		v.hash, v.half, v.since, v.told = hash, half, now, false
	}
	v.heard = now
}

func short(hash []byte) string { return hex.EncodeToString(hash[:min(len(hash), 4)]) }

// Differs says in lines for people which shards go by another directory than the first
// one, as far as this one has heard lately, and what becomes of it. None is the rule: a
// change takes a moment to reach all.
func (n *Node) Differs() (out []string) {
	own, ownHalf := n.goesBy()
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	head := n.versions[clearing.Head].hash
	if n.opts.Self == clearing.Head {
		head = own
	}
	if head == "" {
		return nil
	}
	for s := clearing.Head + 1; s <= n.opts.Count; s++ {
		hash, half, why := n.versions[s].hash, n.versions[s].half, "it takes over that of shard 1 by itself; if it does not, its log says why"
		if s == n.opts.Self {
			hash, half, why = own, ownHalf, n.bringing.fault
			if why == "" {
				why = "it is taking over that of shard 1"
			}
		} else if now.Sub(n.versions[s].heard) > heardLately {
			continue
		}
		if hash == head && half {
			out = append(out, fmt.Sprintf("shard %d has begun with the directory of shard 1 (%.8s), and not all of its rules are in force there: %s", s, head, why))
		} else if hash != "" && hash != head {
			out = append(out, fmt.Sprintf("shard %d goes by another directory (%.8s) than shard 1 (%.8s), and decides by that what is decided there: %s", s, hash, head, why))
		}
	}
	return out
}

// tellDiffering has the head log who goes by another directory for long.
func (n *Node) tellDiffering() {
	if n.opts.Self != clearing.Head {
		return
	}
	own, _ := n.goesBy()
	now := time.Now()
	var late []uint16
	n.mu.Lock()
	for s := clearing.Head + 1; s <= n.opts.Count; s++ {
		v := &n.versions[s]
		if v.hash == "" || (v.hash == own && !v.half) || now.Sub(v.heard) > heardLately {
			continue
		}
		if !v.told && now.Sub(v.since) > differsAfter && now.Sub(n.changed) > differsAfter {
			v.told = true
			late = append(late, s)
		}
	}
	n.mu.Unlock()
	for _, s := range late {
		n.opts.Logger.Warn("shard: another shard goes by another directory than this one, and decides by it: its log says why", "shard", s)
	}
}
