package clearing

import (
	"github.com/tongma/tongma"
)

// OfficeAsker is whose keys those of proposed caps, deposits and withdrawals are, of a
// switch of several shards: no participant can have the name. They are claimed as the keys of
// payments are, so that one which is repeated behind a move is found where it stands, and is
// not booked once more.
const OfficeAsker tongma.ParticipantID = "~office"

// proposeClaim decides on which shard may hold the payment under an asker's key. It is
// asked in the key's owner (OwnerOf) by any other shard before it holds. A key is
// claimed once: who comes later learns from the entry's Shard who has it. A payment
// that the owner itself has is its claim. The reasons, in their order:
//
//	FieldInvalid: no asker, no key, no other shard, or a key that is not ours to give; a repeat: Exists, for whatever shard
func (b *Book) proposeClaim(e *Entry) Verdict {
	if e.Asker == "" || e.Key == "" || !b.otherShard(e.Shard) || OwnerOf(e.Asker, e.Key, b.shards.spread) != b.shards.self {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	if s := b.HolderOf(e.Asker, e.Key); s != 0 {
		e.Shard = s
		return Verdict{Exists: true}
	}
	return Verdict{Write: true}
}

// HolderOf returns which shard has the payment under an asker's key, or is to have it,
// as far as this shard knows: itself, the one that has claimed the key here, or zero. Of
// OfficeAsker, which shard has what the office wrote under the key.
func (b *Book) HolderOf(asker tongma.ParticipantID, key string) uint16 {
	d := keyDigest(asker, key)
	if s := b.shards.claims[d]; s != 0 {
		return s
	}
	_, paid := b.findKey(d)
	_, disputed := b.disputeByKey[d]
	ordered := asker == OfficeAsker && b.orders[key] != nil
	if paid || disputed || ordered {
		return b.shards.self
	}
	return 0
}

// Ordered tells whether a cap was proposed, or prefunding booked, under a key of the office.
func (b *Book) Ordered(key string) bool { return b.orders[key] != nil }
