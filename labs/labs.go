// Package labs lists the labs, in the order of the course. Package lab says what a lab is made of.
package labs

import (
	"embed"

	"netsplit/kit/lab"
	banktransfer "netsplit/labs/bank-transfer"
	dirtyreads "netsplit/labs/dirty-reads"
	distributedcounter "netsplit/labs/distributed-counter"
	"netsplit/labs/failover"
	globalregistry "netsplit/labs/global-registry"
	hellocluster "netsplit/labs/hello-cluster"
	masterrecovery "netsplit/labs/master-recovery"
	messagepartition "netsplit/labs/message-partition"
	nodedisconnection "netsplit/labs/node-disconnection"
	observesystem "netsplit/labs/observe-system"
	remoteprocesses "netsplit/labs/remote-processes"
	serializedwriter "netsplit/labs/serialized-writer"
	transactionhistory "netsplit/labs/transaction-history"
	twophasecommit "netsplit/labs/two-phase-commit"
)

// FS is this folder: each lab's brief, code, starter and mutants, and its ledger when it has one.
//
//go:embed */README.md */*.go */ledger.json */starter/* */mutants/*/*
var FS embed.FS

// All is every lab.
func All() []lab.Definition {
	return []lab.Definition{
		hellocluster.Lab,
		nodedisconnection.Lab,
		messagepartition.Lab,
		observesystem.Lab,
		globalregistry.Lab,
		remoteprocesses.Lab,
		distributedcounter.Lab,
		failover.Lab,
		dirtyreads.Lab,
		serializedwriter.Lab,
		masterrecovery.Lab,
		banktransfer.Lab,
		twophasecommit.Lab,
		transactionhistory.Lab,
	}
}
