// Node is the plain node of a cluster, without a program of a student's. The simulator compiles it for wasip1; a
// real cluster runs the same as "netsplit __node".
package main

import "netsplit/kit/node"

func main() { node.Main(node.App{}) }
