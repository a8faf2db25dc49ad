"""Looking at the clusters: t-SNE spaces to turn and to play, in the page and as an animation.

spaces      files of coordinates -> spaces that follow one another without jumps
animation   the same over training, as a GIF
explorer.html, explorer.js (in ../templates)   what the page shows of them
"""
