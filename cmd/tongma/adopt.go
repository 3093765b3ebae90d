package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/api"
)

// tokens are whose HTTP tokens are known: of the participants in force, and of the
// operator's people. Their folder is looked at again while the switch runs, so that a
// person who was given a token is known within tokensAgain, and one whose token was
// removed no longer. A folder that is not in order leaves all as it was, and is told.
type tokens struct {
	of   atomic.Pointer[api.Tokens]
	warn func(msg string, args ...any) // may be nil
	next atomic.Int64                  // Unix nanoseconds of the next look

	mu   sync.Mutex // guards what follows; files are read while it is held
	dir  string
	ids  []tongma.ParticipantID
	seen time.Time // the folder's, when it was read; zero: read it again
	said string    // what was wrong with it, and told
}

const tokensAgain = time.Second

// Identify implements api.Authenticator.
func (t *tokens) Identify(token string) (api.Caller, bool) { return t.now().Identify(token) }

// Operators implements api.Authenticator.
func (t *tokens) Operators() int { return t.now().Operators() }

// now is who is known, by a look that is not older than tokensAgain.
func (t *tokens) now() *api.Tokens {
	at := time.Now()
	if next := t.next.Load(); at.UnixNano() >= next && t.next.CompareAndSwap(next, at.Add(tokensAgain).UnixNano()) {
		t.look(at)
	}
	return t.of.Load()
}

// look reads the folder again if it has changed, or did so a moment ago: then its time
// may not tell whether all was there.
func (t *tokens) look(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := changedAt(t.dir)
	if changed.Equal(t.seen) && at.Sub(changed) > 2*tokensAgain {
		return
	}
	known, err := api.NewTokens(t.dir, t.ids)
	said := ""
	if err == nil {
		t.seen = changed
		t.of.Store(known)
	} else if said = err.Error(); said != t.said && t.warn != nil {
		t.warn("the tokens were not read again: those that were known stay so", "err", err)
	}
	t.said = said
}

func changedAt(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, "creds"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// know reads the tokens of a directory's participants, and makes those that are missing.
func (t *tokens) know(dir string, d *schemes.Directory) error {
	var ids []tongma.ParticipantID
	for _, p := range d.Participants() {
		ids = append(ids, p.ID)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := changedAt(dir)
	known, err := api.NewTokens(dir, ids)
	if err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	t.dir, t.ids, t.seen, t.said = dir, ids, changed, ""
	t.of.Store(known)
	return nil
}

// adopt brings a directory into force while the switch runs: payments go on. Whoever
// comes with it is let in, and whoever leaves is let out, once its rules stand in the
// books. An error before that leaves all as it was; one behind it says what does not go
// by the new version yet, and the same directory once more tries that again.
//
// It must be called by whoever may leave the office.
func (n *node) adopt(ctx context.Context, source []byte) (*schemes.Directory, error) {
	d, err := schemes.Parse(n.registry.Current().Version()+1, source)
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err}
	}
	participants, err := admitted(d, n.keys)
	if err != nil {
		return nil, err
	}
	if d, err = n.registry.Add(source); err != nil {
		return nil, &exitError{code: exitConfig, err: err}
	}
	n.reach(d)
	if err := n.engine.Adopt(ctx, d); err != nil {
		return nil, fmt.Errorf("directory version %d: %w", d.Version(), err)
	}
	n.coming = d
	err = errors.Join(n.tokens.know(n.cfg.data, d), n.connectAgents())
	if n.bus != nil { // on a NATS elsewhere its operator lets them in
		err = errors.Join(err, n.bus.UpdateParticipants(participants))
	}
	return d, err
}

// reach makes adapters of schemes that a directory brings.
func (n *node) reach(d *schemes.Directory) {
	for _, s := range d.Schemes() {
		if _, there := n.engine.Directory().Scheme(s.ID); !there {
			n.engine.Reach(s.ID, n.adapter(s))
		}
	}
}

// bringIn brings a directory into force that another shard has sent.
func (a *app) bringIn(ctx context.Context, n *node, source []byte) error {
	d, err := n.adopt(ctx, source)
	if err == nil {
		a.say("directory version %d, of another shard, is in force", d.Version())
	}
	return err
}

// readAgain brings the file of the directory into force as it is now: of several shards,
// in all.
func (a *app) readAgain(ctx context.Context, n *node, path string) {
	if path == "" {
		a.say("no --directory to read again")
		return
	}
	before := n.registry.Current().Version()
	source, err := os.ReadFile(path)
	if err == nil {
		err = n.offer(ctx, source)
	}
	if err == nil {
		var d *schemes.Directory
		if d, err = n.adopt(ctx, source); err == nil {
			a.say("directory version %d is in force", d.Version())
			return
		}
	}
	a.say("directory %s: %v", path, err)
	if now := n.registry.Current().Version(); now == before {
		a.say("version %d stays in force: put the file right, and send SIGHUP again", now)
	}
	n.cfg.logger.Error("the directory was not read again", "path", path, "err", err)
}
